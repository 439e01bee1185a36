//! How long a command may take: `--for` and `--until`.

use std::time::{Duration, Instant};

use chrono::{DateTime, Days, Local, NaiveTime, TimeZone};
use clap::Args;

use crate::engine::interrupt::Interrupt;
use crate::error::Result;
use crate::progress::{Console, duration};

/// When to stop, whatever is left to do.
#[derive(Debug, Clone, Default, Args)]
pub struct TimeArgs {
    /// Stop at a checkpoint after this time, such as 2h, 90m or 1h30m; what is left can be gone on
    /// with
    #[arg(long = "for", value_name = "TIME", value_parser = span, conflicts_with = "until")]
    pub span: Option<Duration>,
    /// Stop at a checkpoint at this time of the day, such as 06:30
    #[arg(long, value_name = "HH:MM", value_parser = time_of_day)]
    pub until: Option<NaiveTime>,
}

impl TimeArgs {
    /// Listens for Ctrl-C and the clock from now on, and says when the time will be up; to be
    /// called once in a process.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn interrupt(&self, console: &Console) -> Result<Interrupt> {
        let left = self.span.or_else(|| Some(until(&Local::now(), self.until?)));
        if let Some(left) = left {
            let at = Local::now() + left;
            let seconds = left.as_secs_f64();
            let until = at.format("%H:%M");
            console.info(&format!("the work stops at {until}, in {}", duration(seconds)));
        }
        let deadline = left.and_then(|left| Instant::now().checked_add(left));
        let answering = console.clone();
        let interrupt = Interrupt::install_for_training(move || {
            answering.info("stopping at the next checkpoint; press Ctrl-C again to end at once");
        })?;
        Ok(interrupt.with_deadline(deadline))
    }
}

/// The time from now to the next such time of the day.
fn until<Z: TimeZone>(now: &DateTime<Z>, time: NaiveTime) -> Duration {
    let on = |days: u64| {
        let day = now.date_naive().checked_add_days(Days::new(days))?;
        // A time that the change to summer time leaves out has no moment on that day.
        let moment = now.timezone().from_local_datetime(&day.and_time(time)).earliest()?;
        moment.signed_duration_since(now).to_std().ok()
    };
    (0..3).find_map(on).unwrap_or_default()
}

/// The longest time that a command may be given, in seconds: 100 years, which added to any date of
/// a clock is a date again.
const LONGEST_S: u64 = 100 * 8766 * 3600;

/// `2h`, `90m`, `45s` or several of them: `1h30m`.
fn span(text: &str) -> Result<Duration, String> {
    let refused =
        || format!("{text} is no time: give hours, minutes or seconds, such as 2h, 90m or 1h30m");
    let (mut seconds, mut rest) = (0u64, text);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
        let (number, unit) = rest.split_at(end);
        let each = match unit.as_bytes().first() {
            Some(b'h') => 3600,
            Some(b'm') => 60,
            Some(b's') => 1,
            _ => return Err(refused()),
        };
        let number: u64 = number.parse().map_err(|_| refused())?;
        let total = number.checked_mul(each).and_then(|more| seconds.checked_add(more));
        seconds = total.ok_or_else(refused)?;
        rest = &unit[1..];
    }
    match seconds {
        0 => Err(refused()),
        1..=LONGEST_S => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{text} is no time: it is more than {}h, 100 years", LONGEST_S / 3600)),
    }
}

fn time_of_day(text: &str) -> Result<NaiveTime, String> {
    NaiveTime::parse_from_str(text, "%H:%M")
        .map_err(|_| format!("{text} is no time of the day: give hours and minutes, such as 06:30"))
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    #[test]
    fn spans_of_time_are_read() {
        let seconds = |text| span(text).unwrap().as_secs();
        assert_eq!(
            ["2h", "90m", "1h30m", "45s", "1h1m1s"].map(seconds),
            [7200, 5400, 5400, 45, 3661]
        );
        let wrong = ["", "2", "h", "2 h", "-1h", "0s", "1.5h", "2d", "99999999999999999999h", "5é"];
        let beyond = ["876601h", "2562047788015h", "18446744073709551615s"];
        for wrong in wrong.into_iter().chain(beyond) {
            let error = span(wrong).unwrap_err();
            assert!(error.contains("is no time"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_time_of_the_day_is_the_next_one() {
        let zone = FixedOffset::east_opt(3600).unwrap();
        let now = zone.with_ymd_and_hms(2026, 12, 31, 22, 15, 30).unwrap();
        let left = |text| until(&now, time_of_day(text).unwrap()).as_secs();
        assert_eq!(left("22:16"), 30);
        assert_eq!(left("23:15"), 3570);
        assert_eq!(left("22:15"), 24 * 3600 - 30, "past: tomorrow's");
        assert_eq!(left("06:30"), 8 * 3600 + 14 * 60 + 30, "in the next year");
        for wrong in ["", "6", "24:00", "06:60", "6h"] {
            assert!(time_of_day(wrong).unwrap_err().contains("is no time of the day"), "{wrong}");
        }
    }
}
