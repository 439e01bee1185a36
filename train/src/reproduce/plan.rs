//! The runs that an experiment takes, where they lie, and what is left of each.

use std::path::{Path, PathBuf};

use rung_ranks::Ranks;

use super::experiments::{Entry, Experiment, Quantity};
use super::measured::Measured;
use crate::config::Config;
use crate::config::sources::{Sources, layered};
use crate::data::treatment;
use crate::error::{Error, Result};
use crate::report::History;
use crate::run::folder::RunFolder;

/// What is asked for on the command line.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Epochs in place of the paper's, to which the schedule is scaled.
    pub epochs: Option<u64>,
    /// Where the runs lie.
    pub out: PathBuf,
    /// Importance samples of the evaluation.
    pub importance_samples: u64,
    /// Test images of the evaluation; 0 for all.
    pub count: u64,
    /// The seed of every run.
    pub seed: u64,
}

/// All runs of an experiment.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The experiment.
    pub experiment: &'static Experiment,
    /// Its runs, each after the one it starts from.
    pub runs: Vec<Planned>,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What it is for.
    pub entry: &'static Entry,
    /// What is to be measured of it.
    pub quantity: Quantity,
    /// Its whole configuration.
    pub config: Config,
    /// Its folder.
    pub folder: PathBuf,
    /// The paper's number of epochs.
    pub paper_epochs: u64,
    /// How far it is.
    pub stage: Stage,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// It has not begun.
    New,
    /// It was stopped after so many epochs.
    Stopped(u64),
    /// It is trained, but not evaluated as asked.
    Trained,
    /// Nothing is left to do.
    Done,
}

impl Plan {
    /// What the experiment takes, given what lies in the folder already.
    ///
    /// # Errors
    /// If a folder holds a run with another configuration.
    pub fn new(experiment: &'static Experiment, wishes: &Wishes) -> Result<Self> {
        let runs = experiment
            .entries
            .iter()
            .map(|entry| Planned::new(experiment.quantity, entry, wishes))
            .collect::<Result<_>>()?;
        Ok(Self { experiment, runs })
    }

    /// For each run, the one that it starts from, if it does from one.
    pub fn order(&self) -> Vec<Option<usize>> {
        let place = |preset| self.runs.iter().position(|run| run.entry.preset == preset);
        self.runs.iter().map(|run| run.entry.starts_from.and_then(place)).collect()
    }

    /// The runs that a rank brings: in turn one for each rank, a run that starts from another
    /// going to the rank of that one.
    pub fn of_rank(&self, ranks: &Ranks) -> Vec<usize> {
        let mut in_turn = (0..ranks.size()).cycle();
        let mut rank_of: Vec<usize> = Vec::with_capacity(self.runs.len());
        for before in self.order() {
            // Each run stands after the one that it starts from.
            let rank = before.and_then(|before| rank_of.get(before).copied());
            rank_of.extend(rank.or_else(|| in_turn.next()));
        }
        (0..rank_of.len()).filter(|&run| rank_of[run] == ranks.rank()).collect()
    }

    /// [`Plan::order`] among some runs, those of a rank.
    pub fn order_of(&self, runs: &[usize]) -> Vec<Option<usize>> {
        let (order, place) = (self.order(), |run| runs.iter().position(|&other| other == run));
        runs.iter().map(|&run| order[run].and_then(place)).collect()
    }
}

impl Planned {
    fn new(quantity: Quantity, entry: &'static Entry, wishes: &Wishes) -> Result<Self> {
        let sets = entry.sets();
        let sources = Sources { preset: Some(entry.preset), sets: &sets, ..Sources::default() };
        let mut config = layered(&sources)?;
        let paper_epochs = config.train.epochs;
        scale(&mut config, wishes.epochs.unwrap_or(paper_epochs));
        config.train.seed = wishes.seed + entry.draw;
        if let Some(from) = entry.starts_from {
            config.train.init_from =
                folder(&wishes.out, from, &config, paper_epochs).display().to_string();
        }
        let folder = folder(&wishes.out, &entry.name(), &config, paper_epochs);
        let stage = stage(quantity, &folder, &config, wishes)?;
        Ok(Self { entry, quantity, config, folder, paper_epochs, stage })
    }

    /// Epochs that are still to be trained.
    pub fn epochs_left(&self) -> u64 {
        match self.stage {
            Stage::New => self.config.train.epochs,
            Stage::Stopped(done) => self.config.train.epochs.saturating_sub(done),
            Stage::Trained | Stage::Done => 0,
        }
    }

    /// The last part of its folder's path.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What the run has recorded, if it has begun.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn history(&self) -> Result<Option<History>> {
        if !self.folder.join("config.toml").is_file() {
            return Ok(None);
        }
        RunFolder::open(&self.folder).and_then(|run| History::read(&run)).map(Some)
    }
}

/// Gives a configuration `epochs` epochs, with what its objective counts in epochs (warm-up), the
/// steps of the learning rate and the patience of early stopping in proportion.
fn scale(config: &mut Config, epochs: u64) {
    let before = config.train.epochs;
    // Rounded, but what was there at all stays there.
    let scaled = |length: u64| {
        if length == 0 { 0 } else { ((length * epochs + before / 2) / before).max(1) }
    };
    for (_, length) in config.family.epoch_keys() {
        *length = scaled(*length);
    }
    config.train.patience_epochs = scaled(config.train.patience_epochs);
    let optimiser = &mut config.optimiser;
    optimiser.schedule_every_epochs = scaled(optimiser.schedule_every_epochs);
    optimiser.final_decay_epochs = scaled(optimiser.final_decay_epochs);
    // Each milestone stays, after the one before it.
    let mut last = 0;
    for milestone in &mut optimiser.schedule_milestones {
        last = scaled(*milestone).max(last + 1);
        *milestone = last;
    }
    config.train.epochs = epochs;
}

impl Entry {
    /// What its change is as a pair of `--set`.
    pub fn sets(&self) -> Vec<String> {
        self.change.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// The name of its preset, and its change, if there is one.
    fn name(&self) -> String {
        let change = self.change.map(|(key, value)| (key.rsplit('.').next().unwrap_or(key), value));
        change.map_or_else(
            || self.preset.to_string(),
            |(key, value)| format!("{}-{}-{value}", self.preset, key.replace('_', "-")),
        )
    }
}

/// The folder of a run: its entry's name, and what of it is not the paper's.
fn folder(out: &Path, name: &str, config: &Config, paper_epochs: u64) -> PathBuf {
    let mut name = name.to_string();
    if config.train.epochs != paper_epochs {
        name += &format!("-{}-epochs", config.train.epochs);
    }
    if config.train.seed != Config::default().train.seed {
        name += &format!("-seed-{}", config.train.seed);
    }
    out.join(name)
}

fn stage(quantity: Quantity, folder: &Path, wanted: &Config, wishes: &Wishes) -> Result<Stage> {
    if !folder.join("config.toml").is_file() {
        return Ok(Stage::New);
    }
    let history = History::read(&RunFolder::open(folder)?)?;
    if !same(&history.config, wanted) {
        return Err(Error::new(format!(
            "{} holds a run with another configuration",
            folder.display()
        ))
        .with_advice("move it away, or choose another folder with --out"));
    }
    let has_result = !(history.evaluations.is_empty() && history.scores.is_empty());
    Ok(match (history.is_finished(), Measured::of(quantity, &history, wishes)) {
        (true, Some(_)) => Stage::Done,
        // A run that died between its last epoch and its result is resumed, which brings the
        // result.
        (true, None) if has_result => Stage::Trained,
        _ => Stage::Stopped(history.epochs_done().min(wanted.train.epochs)),
    })
}

/// Whether two configurations make the same numbers: all but where the data lies and what computes.
fn same(a: &Config, b: &Config) -> bool {
    let bare = |config: &Config| {
        let mut config = config.clone();
        config.data.directory.clear();
        // A plan leaves open what its run has settled, and published images have a size of their
        // own.
        config.data.binarisation = treatment::binarisation(&config);
        config.data.image_size = 0;
        config.train.device.clear();
        config.train.threads = 0;
        config.train.init_from = Path::new(&config.train.init_from)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        config
    };
    bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::experiments::{EXPERIMENTS, find};

    fn wishes(out: &Path, epochs: Option<u64>) -> Wishes {
        Wishes { epochs, out: out.into(), importance_samples: 5000, count: 0, seed: 1 }
    }

    #[test]
    fn fewer_epochs_scale_the_warm_up_and_the_learning_rate() {
        let plan =
            Plan::new(find("mnist-table1").unwrap(), &wishes("runs".as_ref(), Some(100))).unwrap();
        let base = &plan.runs[5];
        assert_eq!(
            (base.config.train.epochs, base.config.family.warmup_epochs(), base.paper_epochs),
            (100, 10, 2000)
        );
        assert_eq!(base.folder, Path::new("runs/mnist-ladder-5-100-epochs"));
        let tuned = &plan.runs[6];
        assert_eq!(
            (tuned.config.family.warmup_epochs(), tuned.config.optimiser.schedule_every_epochs),
            (0, 10)
        );
        assert_eq!(Path::new(&tuned.config.train.init_from), base.folder);
        let order = plan.order();
        assert_eq!((order[0], order[1], order[5], order[6]), (None, Some(0), None, Some(5)));
        let matnet =
            Plan::new(find("matnet").unwrap(), &wishes("runs".as_ref(), Some(15))).unwrap();
        let optimiser = &matnet.runs[0].config.optimiser;
        assert_eq!(optimiser.schedule_milestones, [1, 2, 3, 4, 5]);
        assert_eq!(optimiser.final_decay_epochs, 8);
        let spn = Plan::new(find("rnn-spn").unwrap(), &wishes("runs".as_ref(), Some(30))).unwrap();
        assert_eq!(spn.runs[0].config.train.patience_epochs, 5);
        let paper =
            Plan::new(find("mnist-table1").unwrap(), &wishes("runs".as_ref(), None)).unwrap();
        assert_eq!(paper.runs[5].config.family.warmup_epochs(), 200);
        assert!(paper.runs.iter().all(|run| run.stage == Stage::New));
    }

    #[test]
    fn ranks_bring_each_run_once_and_what_starts_from_another_is_brought_by_its_rank() {
        let plan =
            Plan::new(find("mnist-table1").unwrap(), &wishes("runs".as_ref(), None)).unwrap();
        let order = plan.order();
        for size in [1, 2, 3, 40] {
            let of_ranks = rung_ranks::threads::on_each(size, |ranks| plan.of_rank(&ranks));
            let rank_of = |run| of_ranks.iter().position(|runs| runs.contains(&run)).unwrap();
            let mut brought = of_ranks.concat();
            brought.sort_unstable();
            assert_eq!(brought, (0..plan.runs.len()).collect::<Vec<_>>(), "{size} ranks");
            for (run, before) in order.iter().enumerate() {
                assert!(before.is_none_or(|before| rank_of(before) == rank_of(run)), "{run}");
            }
            for runs in &of_ranks {
                let among: Vec<_> = plan.order_of(runs);
                let named = |place: Option<usize>| place.map(|place| runs[place]);
                assert!(runs.iter().zip(among).all(|(&run, place)| named(place) == order[run]));
            }
            let chains = order.iter().filter(|before| before.is_none()).count();
            let busy = of_ranks.iter().filter(|runs| !runs.is_empty()).count();
            assert_eq!(busy, size.min(chains));
        }
    }

    #[test]
    fn milestones_keep_their_share_of_the_training() {
        let milestones = |epochs| {
            let plan = Plan::new(find("rnn-spn").unwrap(), &wishes("runs".as_ref(), epochs));
            plan.unwrap().runs[0].config.optimiser.schedule_milestones.clone()
        };
        assert_eq!(milestones(None)[..3], [30, 42, 54]);
        assert_eq!(milestones(Some(150))[..3], [15, 21, 27]);
        let ramp = |epochs| {
            let plan = Plan::new(find("rnn-spn").unwrap(), &wishes("runs".as_ref(), epochs));
            let mut family = plan.unwrap().runs[0].config.family.clone();
            family.epoch_keys().into_iter().map(|(key, epochs)| (key, *epochs)).collect::<Vec<_>>()
        };
        assert_eq!(ramp(None), [("dropout_ramp_epochs", 5)]);
        assert_eq!(ramp(Some(60)), [("dropout_ramp_epochs", 1)]);
        let few = milestones(Some(20));
        assert_eq!(few[..3], [2, 3, 4]);
        assert!(few.windows(2).all(|pair| pair[0] < pair[1]), "{few:?}");
    }

    #[test]
    fn a_change_of_a_preset_is_part_of_its_runs_name() {
        let entry =
            Entry { change: Some(("model.hidden_sizes", "[32]")), ..EXPERIMENTS[0].entries[0] };
        assert_eq!(entry.sets(), ["model.hidden_sizes=[32]"]);
        assert_eq!(entry.name(), "mnist-vae-1-hidden-sizes-[32]");
    }

    #[test]
    fn runs_that_are_there_are_gone_on_with_and_others_are_refused() {
        let out = tempfile::tempdir().unwrap();
        let experiment = find("mnist-table2").unwrap();
        let plan = Plan::new(experiment, &wishes(out.path(), Some(4))).unwrap();
        let planned = &plan.runs[0];
        let (run, lock) = RunFolder::create(&planned.folder, &planned.config).unwrap();
        drop(lock);
        let line = |epoch: u64| format!("{{\"step\":{epoch}0,\"epoch\":{epoch}}}\n");
        std::fs::write(run.metrics(), line(1) + &line(2)).unwrap();
        let stage =
            || Plan::new(experiment, &wishes(out.path(), Some(4))).unwrap().runs[0].stage.clone();
        assert_eq!(stage(), Stage::Stopped(2));
        std::fs::write(run.metrics(), line(1) + &line(4)).unwrap();
        assert_eq!(stage(), Stage::Stopped(4), "its result is missing");
        let evaluation = |k: u64| {
            format!(
                "{{\"step\":40,\"bound_1_nats\":-95,\"bound_1_standard_error_nats\":0.2,\"bound_k_nats\":-90,\"standard_error_nats\":0.1,\
                 \"importance_samples\":{k},\"images\":10,\"images_in_split\":10,\"split\":\"test\"}}\n"
            )
        };
        std::fs::write(run.evaluations(), evaluation(1)).unwrap();
        assert_eq!(stage(), Stage::Trained);
        std::fs::write(run.evaluations(), evaluation(1) + &evaluation(5000)).unwrap();
        assert_eq!(stage(), Stage::Done);
        let mut settled = planned.config.clone();
        settled.data.binarisation = treatment::binarisation(&settled);
        assert_ne!(settled, planned.config);
        run.save_config(&settled).unwrap();
        assert_eq!(stage(), Stage::Done, "what was settled is what was planned");
        let mut other = planned.config.clone();
        other.optimiser.beta_1 = 0.3;
        run.save_config(&other).unwrap();
        let error = Plan::new(experiment, &wishes(out.path(), Some(4))).unwrap_err();
        assert!(error.cause().ends_with("holds a run with another configuration"), "{error}");
    }
}
