//! Chapter 13: classes, few labels, and bounds that sum over what is not known.

use rung_autograd::ops::Gaussian;
use rung_autograd::optim::{Adam, AdamOptions, StepSize, minimise};
use rung_autograd::rng::Address;
use rung_autograd::{
    DType, Initialiser, ParameterId, ParameterList, ParameterStore, Result as RungResult, Tape,
    Tensor,
};

use crate::chapter_09::{Layer, Weights};
use crate::{Result, cpu};

// ANCHOR: sum
/// Prints the bound of an image whose class is unknown, for several beliefs q(y|x), beside what a
/// sum over the classes gives exactly.
pub fn summed() -> Result<()> {
    // The bounds L(x, y) of one image, if its class were 0, 1 or 2; each includes ln p(y).
    let bounds = [-90.0, -92.0, -99.0_f64];
    let exact = bounds.iter().map(|l| (l + 90.0).exp()).sum::<f64>().ln() - 90.0;
    println!("ln Σ exp L(x, y) = {exact:.4}");
    for q in [[1.0 / 3.0; 3], [0.9, 0.05, 0.05], [1.0, 0.0, 0.0], [0.8807, 0.1192, 0.0001]] {
        let entropy: f64 = q.iter().filter(|q| **q > 0.0).map(|q| -q * f64::ln(*q)).sum();
        let bound = q.iter().zip(&bounds).map(|(q, l)| q * l).sum::<f64>() + entropy;
        println!("q = {q:.3?}: U = {bound:.4}");
    }
    Ok(())
}
// ANCHOR_END: sum

// ANCHOR: data
/// Two clouds in the plane, long and side by side: [2 · count, 2], and the class of each point.
fn clouds(count: usize, stream: u32) -> Result<(Tensor, Vec<u32>)> {
    let noise = Tensor::normal(&cpu(), DType::F64, Address::new(3, stream, 0), [2 * count, 2])?;
    let mut values = noise.to_f64()?;
    let mut classes = Vec::new();
    for (n, point) in values.chunks_exact_mut(2).enumerate() {
        let class = n % 2;
        let (along, across) = (2.0 * point[0], 0.35 * point[1] + [-0.8, 0.8][class]);
        // Turned by 45 degrees, so that neither coordinate alone tells the classes apart.
        point[0] = (along - across) * 0.5_f64.sqrt();
        point[1] = (along + across) * 0.5_f64.sqrt();
        classes.push(class as u32);
    }
    Ok((Tensor::from_f64(&cpu(), &values, [2 * count, 2])?, classes))
}
// ANCHOR_END: data

// ANCHOR: model
/// q(y|x) by a small network; p(x|y) a Gaussian for each class, with a mean and a shape of its own.
struct Model {
    hidden: Layer,
    logits: Layer,
    means: ParameterId,
    shears: ParameterId,
    spreads: ParameterId,
}

impl Model {
    fn new(list: &mut ParameterList) -> Self {
        Self {
            hidden: Layer::new(list, "hidden", 2, 16),
            logits: Layer::new(list, "logits", 16, 2),
            means: list.add("means", [2, 2], Initialiser::Normal { sigma: 0.3 }),
            shears: list.add("shears", [2, 1], Initialiser::Constant(0.0)),
            spreads: list.add("spreads", [2, 2], Initialiser::Constant(1.0)),
        }
    }

    /// The logits of q(y|x): [points, 2].
    fn classify(&self, weights: Weights<'_>, x: &Tensor) -> RungResult<Tensor> {
        self.logits.forward(weights, &self.hidden.forward(weights, x)?.tanh()?)
    }

    /// ln p(x, y) for each class: [points, 2].
    ///
    /// The first coordinate is a Gaussian, the second one given the first: that is how a Gaussian
    /// can be slanted.
    fn joint(&self, weights: Weights<'_>, x: &Tensor) -> RungResult<Tensor> {
        let parameter = |id| weights.store.tensor(id, weights.tape);
        let points = x.shape().sizes()[0];
        let mut columns = Vec::new();
        for class in 0..2 {
            let of_class = |id| parameter(id).slice(0, class, 1);
            let (mean, shear) = (of_class(self.means)?, of_class(self.shears)?);
            let variance = of_class(self.spreads)?.softplus()?.shift(1e-3)?;
            let centred = x.sub(&mean)?;
            let first = centred.slice(1, 0, 1)?;
            let second = centred.slice(1, 1, 1)?.sub(&first.mul(&shear)?)?;
            let straight = rung_autograd::ops::concat(&[&first, &second], 1)?;
            let zero = straight.detach().scale(0.0)?;
            let variance = variance.broadcast_to([points, 2])?;
            let log_p_x = Gaussian { mean: zero, variance }.log_prob(&straight)?;
            columns.push(log_p_x.shift(-std::f64::consts::LN_2)?.reshape([points, 1])?);
        }
        rung_autograd::ops::concat(&[&columns[0], &columns[1]], 1)
    }
}
// ANCHOR_END: model

// ANCHOR: objective
/// −Σ_y q(y|x) [ln p(x, y) − ln q(y|x)], mean over the points: the bound without labels, negated.
fn unlabelled(model: &Model, weights: Weights<'_>, x: &Tensor) -> RungResult<Tensor> {
    let log_q = model.classify(weights, x)?.log_softmax(1)?;
    let difference = model.joint(weights, x)?.sub(&log_q)?;
    log_q.exp()?.mul(&difference)?.sum(1)?.mean_all()?.neg()
}

/// −ln q(y|x) − ln p(x, y) at the known class, mean over the points.
fn labelled(model: &Model, weights: Weights<'_>, x: &Tensor, y: &Tensor) -> RungResult<Tensor> {
    let one_hot = Tensor::from_f64(&cpu(), &[1.0, 0.0, 0.0, 1.0], [2, 2])?.gather(y)?;
    let classifier = model.classify(weights, x)?.cross_entropy(y)?.mean_all()?;
    classifier.sub(&model.joint(weights, x)?.mul(&one_hot)?.sum(1)?.mean_all()?)
}
// ANCHOR_END: objective

// ANCHOR: train
/// The share of wrong classes on new points, after training with `labels` labels of each class.
fn error(labels: usize, with_unlabelled: bool) -> Result<f64> {
    let mut list = ParameterList::new();
    let model = Model::new(&mut list);
    let mut store = list.build(&cpu(), DType::F64, Address::new(1, 0, 0))?;
    let mut adam = Adam::new(&store, AdamOptions::default())?;
    let ((x, classes), (few, of_few)) = (clouds(200, 0)?, clouds(labels, 1)?);
    let few_classes = Tensor::from_u32(&cpu(), &of_few, [of_few.len()])?;
    let tape = Tape::new();
    for _ in 0..400 {
        let weights = Weights { store: &store, tape: Some(&tape) };
        let mut loss = labelled(&model, weights, &few, &few_classes)?;
        if with_unlabelled {
            loss = loss.add(&unlabelled(&model, weights, &x)?)?;
        }
        minimise(&loss, &tape, &mut store, &mut adam, &StepSize::unlimited(0.02))?;
    }
    wrong(&model, &store, &x, &classes)
}

fn wrong(model: &Model, store: &ParameterStore, x: &Tensor, classes: &[u32]) -> Result<f64> {
    let logits = model.classify(Weights { store, tape: None }, x)?.to_f64()?;
    let guesses = logits.chunks_exact(2).map(|row| u32::from(row[1] > row[0]));
    let wrong = guesses.zip(classes).filter(|(guess, class)| guess != *class).count();
    Ok(wrong as f64 / classes.len() as f64)
}

/// Prints how often the class of a point is guessed wrong, with and without unlabelled points.
pub fn few_labels() -> Result<()> {
    println!("labels of each class   labels alone   with 400 unlabelled points");
    for labels in [1, 2, 5, 50] {
        let (alone, with) = (100.0 * error(labels, false)?, 100.0 * error(labels, true)?);
        println!("{labels:20}   {alone:10.1} %   {with:10.1} %");
    }
    Ok(())
}
// ANCHOR_END: train
