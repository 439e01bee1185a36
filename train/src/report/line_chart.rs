//! A chart of lines over a common axis, with a legend and values under the pointer: what most
//! charts of the report are.

use serde_json::json;

use super::axis::{Frame, Scale, label};
use super::figure::{Drawing, Figure, csv, embedded_json};
use super::legend::{self, Entry};
use super::svg::{Svg, number};

/// Size of a chart in its own units: readable at half a desktop's page and at a phone's width.
pub const SIZE: (f64, f64) = (480.0, 320.0);
/// Where the data is drawn.
pub const FRAME: Frame = Frame { x: (72.0, 466.0), y: (14.0, 266.0) };
/// Radius of a mark, which may stand out over the edges.
const MARK: f64 = 3.2;
/// The number of colours in the style sheet's palette.
const COLOURS: usize = 8;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// A full line.
    Solid,
    /// A broken line with its points marked: values that were measured now and then.
    Dashed,
    /// Marks alone.
    Marks,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its place in the palette.
    pub colour: usize,
    /// How it is drawn.
    pub stroke: Stroke,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A chart of lines.
#[derive(Debug, Clone)]
pub struct LineChart {
    /// Letters and hyphens, unique in the page.
    pub id: String,
    /// What it shows, above it.
    pub title: String,
    /// How to read it, below it.
    pub caption: String,
    /// What the horizontal axis means.
    pub x_title: String,
    /// What the vertical axis means, with the unit.
    pub y_title: String,
    /// The lines.
    pub series: Vec<Series>,
    /// Horizontal values at which alone there are ticks; empty for round numbers.
    pub x_values: Vec<f64>,
    /// The epoch in which the warm-up ends, if there is one: a wedge as high as the weight of the
    /// latent terms.
    pub warmup_end: Option<f64>,
    /// What the vertical axis shows.
    pub span: Span,
}

/// What a vertical axis shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Span {
    /// All values.
    All,
    /// From 0 to the largest value.
    FromZero,
    /// The values after the first tenth of the horizontal axis; the early ones, which are far off
    /// in training, may lie outside.
    Settled,
    /// Equal ratios from this value up; what is less lies on the axis.
    Logarithmic(f64),
}

/// Points of a line that are drawn: as many as a chart has places for, so that the page of a long
/// training is no larger than that of a short one.
const MOST_POINTS: usize = 600;
/// The newest of them, of which none is left out.
const NEWEST: usize = 100;

/// The share of the horizontal axis whose values may lie outside of [`Span::Settled`].
const UNSETTLED: f64 = 0.1;

impl LineChart {
    /// The chart as a figure; `None` if there is no point to draw.
    pub fn figure(&self) -> Option<Figure> {
        let (x, y) = (self.x_scale()?, self.y_scale()?);
        let shown = self.thinned();
        let mut svg = Svg::new(SIZE.0, SIZE.1, &format!("{}: {}", self.title, self.y_title));
        FRAME.draw_y_axis(&mut svg, &y, &self.y_title);
        let clip = format!("clip-{}", self.id);
        FRAME.clip(&mut svg, &clip, 2.0 * MARK);
        self.draw_warmup(&mut svg, &x, &clip);
        svg.open("g", &[("clip-path", format!("url(#{clip})"))]);
        for series in &shown.series {
            series.draw(&mut svg, &x, &y);
        }
        svg.close("g");
        FRAME.draw_x_axis(&mut svg, &self.x_ticks(&x), &self.x_title);
        shown.mark_what_is_beyond(&mut svg, &x, &y);
        svg.line("cursor", (-9.0, FRAME.y.0), (-9.0, FRAME.y.1));
        let legend = self.legend();
        legend::draw(&mut svg, &legend);
        let drawing = Drawing { name: self.id.clone(), svg, csv: shown.csv() };
        Some(Figure {
            title: self.title.clone(),
            body: format!("{}{}{}", legend::html(&legend), drawing.html(), shown.data(&x)),
            drawings: vec![drawing],
            caption: shown.caption,
            class: "chart lines",
        })
    }

    /// The same with no more than [`MOST_POINTS`] points a line, and a word on that.
    fn thinned(&self) -> Self {
        let mut chart = self.clone();
        let longest = chart.series.iter().map(|series| series.points.len()).max().unwrap_or(0);
        if longest > MOST_POINTS {
            chart.series.iter_mut().for_each(|series| series.points = thinned(&series.points));
            chart.caption += &format!(
                " Of lines with up to {longest} points, the newest {NEWEST} are drawn, and of every few older ones the lowest and the highest."
            );
        }
        chart
    }

    /// All points, one a line.
    fn csv(&self) -> String {
        let rows = self.series.iter().flat_map(|series| {
            series.points.iter().map(|(x, y)| [series.name.clone(), x.to_string(), y.to_string()])
        });
        csv(&["line", &self.x_title, &self.y_title], rows)
    }

    /// A triangle at the edge where a line leaves the chart, at the point of each such part that is
    /// farthest away.
    fn mark_what_is_beyond(&self, svg: &mut Svg, x: &Scale, y: &Scale) {
        let (low, high) = y.values();
        let logarithmic = matches!(self.span, Span::Logarithmic(_));
        for series in &self.series {
            let is_beyond =
                |value: f64| value > high || (value < low && !logarithmic && value.is_finite());
            let parts = series.points.chunk_by(|a, b| is_beyond(a.1) == is_beyond(b.1));
            for part in parts.filter(|part| is_beyond(part[0].1)) {
                let away = |value: f64| (value - high).max(low - value);
                let farthest = part.iter().max_by(|a, b| away(a.1).total_cmp(&away(b.1)));
                let Some(&(px, value)) = farthest else { continue };
                let cx = number(x.at(px));
                let path = match value > high {
                    true => format!("M{cx} {}l5 8h-10z", number(FRAME.y.0)),
                    false => format!("M{cx} {}l5 -8h-10z", number(FRAME.y.1)),
                };
                let class = format!("beyond mark c{}", series.colour % COLOURS);
                let tip = format!("{}: {} at {px}", series.name, label(value, 2));
                svg.titled("path", &[("class", class), ("d", path)], &tip);
            }
        }
    }

    fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.series.iter().flat_map(|series| &series.points)
    }

    fn x_scale(&self) -> Option<Scale> {
        let low = self
            .points()
            .map(|point| point.0)
            .chain(self.x_values.iter().copied())
            .reduce(f64::min)?;
        let high = self
            .points()
            .map(|point| point.0)
            .chain(self.x_values.iter().copied())
            .reduce(f64::max)?;
        // Categories keep off the edges; epochs begin at the axis.
        let (low, high) =
            if self.x_values.is_empty() { (low.min(0.0), high) } else { (low - 0.3, high + 0.3) };
        Some(Scale::new((low, high), FRAME.x))
    }

    /// The scale of what is drawn, of which a few values that are far from all others are left out:
    /// they would flatten the rest.
    fn y_scale(&self) -> Option<Scale> {
        let places = (FRAME.y.1, FRAME.y.0);
        let last = self.points().map(|point| point.0).reduce(f64::max)?;
        let settled =
            |point: &&(f64, f64)| self.span != Span::Settled || point.0 >= last * UNSETTLED;
        let of_series = |series: &Series| {
            let points = series.points.iter().filter(settled);
            usual(points.map(|point| point.1).filter(|value| value.is_finite()).collect())
        };
        let values = || self.series.iter().filter_map(of_series);
        let low = values().map(|(low, _)| low).reduce(f64::min)?;
        let high = values().map(|(_, high)| high).reduce(f64::max)?;
        let margin = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-6);
        Some(match self.span {
            Span::Logarithmic(least) => {
                Scale::logarithmic((least, high.max(least * 10.0) * 1.3), places)
            }
            Span::FromZero => Scale::new((0.0, if high > 0.0 { high * 1.06 } else { 1.0 }), places),
            Span::All | Span::Settled => Scale::new((low - margin, high + margin), places),
        })
    }

    fn x_ticks(&self, x: &Scale) -> Vec<(f64, String)> {
        let ticks = match self.x_values.as_slice() {
            [] => x.whole_ticks(5),
            values => values.iter().map(|&value| (value, label(value, 0))).collect::<Vec<_>>(),
        };
        ticks.into_iter().map(|(value, text)| (x.at(value), text)).collect()
    }

    fn draw_warmup(&self, svg: &mut Svg, x: &Scale, clip: &str) {
        let Some(end) = self.warmup_end else { return };
        let (start, end, right) = (x.at(0.0), x.at(end), FRAME.x.1);
        let (top, bottom) = FRAME.y;
        let corners =
            [(start, bottom), (end, top), (end.max(right), top), (end.max(right), bottom)];
        let corners: Vec<String> =
            corners.iter().map(|&(x, y)| format!("{},{}", number(x), number(y))).collect();
        let attributes = [
            ("class", "warmup"),
            ("clip-path", &format!("url(#{clip})")),
            ("points", &corners.join(" ")),
        ];
        svg.element("polygon", &attributes.map(|(name, value)| (name, value.to_string())));
    }

    fn legend(&self) -> Vec<Entry> {
        let entry = |series: &Series| {
            let mark = match series.stroke {
                Stroke::Solid => "<line class=\"line\" x1=\"1\" y1=\"6\" x2=\"25\" y2=\"6\"/>",
                Stroke::Dashed => {
                    "<line class=\"line dashed\" x1=\"1\" y1=\"6\" x2=\"25\" y2=\"6\"/><circle \
                    class=\"mark\" cx=\"13\" cy=\"6\" r=\"3\"/>"
                }
                Stroke::Marks => "<path class=\"mark\" d=\"M13 1l5 5-5 5-5-5z\"/>",
            };
            let class = format!("c{}", series.colour % COLOURS);
            Entry { class, width: 26, mark: mark.into(), name: series.name.clone() }
        };
        let warmup = self.warmup_end.map(|_| Entry {
            class: String::new(),
            width: 26,
            mark: "<polygon class=\"warmup\" points=\"1,12 13,0 25,0 25,12\"/>".into(),
            name: "weight of the latent terms, 0 to 1".into(),
        });
        self.series.iter().map(entry).chain(warmup).collect()
    }

    /// What the page's script needs to show the values under the pointer.
    fn data(&self, x: &Scale) -> String {
        let short = |value: f64| (value * 1e3).round() / 1e3;
        let series: Vec<_> = self
            .series
            .iter()
            .map(|series| {
                let points: Vec<_> =
                    series.points.iter().map(|&(x, y)| [short(x), short(y)]).collect();
                json!({"name": series.name, "colour": series.colour % COLOURS, "points": points})
            })
            .collect();
        let (x0, x1) = x.values();
        embedded_json(&json!({
            "x": self.x_title, "values": [x0, x1],
            "frame": [FRAME.x.0, FRAME.x.1], "series": series,
        }))
    }
}

/// The newest points, and the lowest and the highest of every few older ones.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let (older, newest) = points.split_at(points.len() - NEWEST);
    let together = older.len().div_ceil((MOST_POINTS - NEWEST) / 2);
    let extremes = older.chunks(together).flat_map(|few| {
        let order = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let [low, high] = [few.iter().min_by(order), few.iter().max_by(order)];
        let mut kept: Vec<_> = low.into_iter().chain(high).copied().collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.dedup();
        kept
    });
    extremes.chain(newest.iter().copied()).collect()
}

/// Values so far beyond the middle half of a line, in its widths, are not usual, if they are few.
const FENCE: f64 = 8.0;
/// The share of a line's values that may be unusual.
const FEW: f64 = 0.1;

/// The least and the largest value of a line without its outliers: those farther than [`FENCE`]
/// times the interquartile range from the middle half, unless they are more than a tenth of all or
/// the middle half is one value.
fn usual(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let (&low, &high) = (values.first()?, values.last()?);
    let (q1, q3) = (values[values.len() / 4], values[values.len() * 3 / 4]);
    let reach = FENCE * (q3 - q1);
    let kept: Vec<f64> =
        values.iter().copied().filter(|v| (q1 - reach..=q3 + reach).contains(v)).collect();
    match kept.as_slice() {
        [first, .., last]
            if reach > 0.0 && (values.len() - kept.len()) as f64 <= FEW * values.len() as f64 =>
        {
            Some((*first, *last))
        }
        _ => Some((low, high)),
    }
}

impl Series {
    fn draw(&self, svg: &mut Svg, x: &Scale, y: &Scale) {
        let class = |what: &str| format!("{what} c{}", self.colour % COLOURS);
        if self.stroke != Stroke::Marks && self.points.len() > 1 {
            let mut path = String::new();
            for (index, &(px, py)) in self.points.iter().enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                path += &format!("{command}{} {}", number(x.at(px)), number(y.at(py)));
            }
            let dashed = if self.stroke == Stroke::Dashed { " dashed" } else { "" };
            svg.element("path", &[("class", class("line") + dashed), ("d", path)]);
        }
        if self.stroke == Stroke::Solid && self.points.len() > 1 {
            return;
        }
        let small = self.points.len() > 60;
        for &(px, py) in &self.points {
            let (cx, cy) = (x.at(px), y.at(py));
            if self.stroke == Stroke::Marks {
                let path = format!("M{} {}l6 6-6 6-6-6z", number(cx), number(cy - 6.0));
                svg.element("path", &[("class", class("mark")), ("d", path)]);
            } else {
                let r = if small { MARK / 2.0 } else { MARK };
                let place =
                    [("cx", cx), ("cy", cy), ("r", r)].map(|(name, value)| (name, number(value)));
                svg.element("circle", &[vec![("class", class("mark"))], place.to_vec()].concat());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> LineChart {
        LineChart {
            id: "test".into(),
            title: "Bound".into(),
            caption: String::new(),
            x_title: "epoch".into(),
            y_title: "nats".into(),
            series: vec![Series {
                name: "a </script>".into(),
                colour: 9,
                stroke: Stroke::Solid,
                points,
            }],
            x_values: Vec::new(),
            warmup_end: Some(2.0),
            span: Span::Settled,
        }
    }

    #[test]
    fn a_chart_has_axes_a_legend_and_its_values_and_no_way_out_of_the_script() {
        let body = chart((1..=24).map(|e| (f64::from(e), -500.0 / f64::from(e))).collect())
            .figure()
            .unwrap()
            .body;
        for expected in [
            "epoch</text>",
            "nats</text>",
            "a &lt;/script&gt;</li>",
            "class=\"line c1\"",
            "warmup",
            "[24.0,-20.833]",
        ] {
            assert!(body.contains(expected), "{expected}: {body}");
        }
        assert_eq!(body.matches("</script>").count(), 2, "the embedded data end where they should");
    }

    #[test]
    fn a_long_line_keeps_its_newest_points_and_the_extremes_of_the_others() {
        let value = |epoch: u32| match epoch {
            7_777 => -1e4,
            11_111 => 1e4,
            _ => f64::from(epoch % 10),
        };
        let points: Vec<_> = (1..=20_000).map(|e| (f64::from(e), value(e))).collect();
        let long = chart(points.clone());
        let kept = long.thinned().series.remove(0).points;
        assert!(kept.len() <= MOST_POINTS && kept.is_sorted_by(|a, b| a.0 < b.0), "{}", kept.len());
        assert_eq!(kept[kept.len() - NEWEST..], points[points.len() - NEWEST..]);
        assert!(kept.contains(&(7_777.0, -1e4)) && kept.contains(&(11_111.0, 1e4)));
        assert!(long.figure().unwrap().body.len() < 60_000);
        assert!(long.figure().unwrap().caption.contains("up to 20000 points"));
        let short = chart(points[..MOST_POINTS].to_vec());
        assert_eq!(short.thinned().series[0].points.len(), MOST_POINTS);
        assert!(short.figure().unwrap().caption.is_empty());
    }

    #[test]
    fn early_values_far_off_may_lie_outside() {
        let points: Vec<_> =
            (1..=24).map(|e| (f64::from(e), if e == 1 { -900.0 } else { -90.0 })).collect();
        let least =
            |span| LineChart { span, ..chart(points.clone()) }.y_scale().unwrap().values().0;
        assert!(least(Span::Settled) > -100.0);
        assert!(least(Span::All) < -900.0);
        assert_eq!(least(Span::FromZero), 0.0);
        let nothing = LineChart { span: Span::FromZero, ..chart(vec![(1.0, 0.0), (2.0, 0.0)]) };
        assert_eq!(nothing.y_scale().unwrap().values(), (0.0, 1.0));
        assert_eq!(least(Span::Logarithmic(0.01)), 0.01);
    }

    #[test]
    fn an_outlier_does_not_flatten_the_line_and_is_marked() {
        let points = |far: usize| -> Vec<(f64, f64)> {
            let value =
                |e: usize| if (60..60 + far).contains(&e) { 9e6 } else { -90.0 + e as f64 / 100.0 };
            (1..=100).map(|e| (e as f64, value(e))).collect()
        };
        let of = |far| LineChart { span: Span::All, ..chart(points(far)) };
        let body = of(2).figure().unwrap().body;
        assert!(of(2).y_scale().unwrap().values().1 < -88.0);
        assert_eq!(body.matches("beyond mark").count(), 1, "one mark for both: {body}");
        assert!(body.contains("9000000.00 at 61"), "{body}");
        assert!(!of(0).figure().unwrap().body.contains("beyond"));
        assert!(of(20).y_scale().unwrap().values().1 > 9e6, "a fifth of all values is no outlier");
        assert!(of(2).figure().unwrap().drawings[0].csv.contains("\na </script>,60,9000000\n"));
    }

    #[test]
    fn nothing_to_draw_is_no_figure_and_one_point_is_a_mark() {
        assert!(chart(Vec::new()).figure().is_none());
        assert!(
            chart(vec![(1.0, -90.0)]).figure().unwrap().body.contains("<circle class=\"mark c1\"")
        );
    }
}
