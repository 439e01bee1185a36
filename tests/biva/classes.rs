//! Models with classes: the objective of learning from few labels, and the bound without a label.

use rung_autograd::gradcheck::{Options, gradcheck_parameters};
use rung_models::Labelled;
use rung_models::semi_supervised::{SemiSupervisedConfig, semi_supervised_bound};

use super::*;

const CLASSES: usize = 3;

fn with_classes(config: BivaConfig) -> BivaConfig {
    BivaConfig { classes: CLASSES, ..config }
}

/// Rows of one 1 each.
fn one_hot(device: &Device, classes: &[usize]) -> Tensor {
    let mut ones = vec![0.0; classes.len() * CLASSES];
    classes.iter().enumerate().for_each(|(row, class)| ones[row * CLASSES + class] = 1.0);
    Tensor::from_f64(device, &ones, [classes.len(), CLASSES]).unwrap()
}

fn weights(labelled_share: f64, classification_weight: f64) -> SemiSupervisedConfig {
    SemiSupervisedConfig {
        beta: 0.7,
        free_bits_nats: 0.2,
        samples: 1,
        labelled_weight: labelled_share,
        unlabelled_weight: 1.0 - labelled_share,
        classification_weight,
    }
}

#[test]
fn gradients_of_the_semi_supervised_objective_match_differences() {
    for config in [dense(Paths::Bidirectional, true), convolutional(Paths::Bidirectional, true)] {
        let subject = Subject::new(with_classes(config), 21);
        let (known, unknown) = (subject.images(2), subject.images(3));
        let class = one_hot(subject.store.device(), &[2, 0]);
        let Subject { model, mut store, statistics, .. } = subject;
        let loss = |store: &ParameterStore, tape: Option<&Tape>| {
            let mut pass = Pass::new(store, tape, Mode::Frozen(&statistics), 21, STEP);
            let labelled = Labelled { x: &known, class: &class };
            Ok(semi_supervised_bound(
                &model,
                &mut pass,
                labelled,
                Some(&unknown),
                &weights(0.3, 0.5),
            )?
            .loss)
        };
        gradcheck_parameters(&mut store, loss, &Options { seed: 21, ..Options::default() })
            .unwrap();
    }
}

/// The loss again, class by class from what the model gives for each row.
#[test]
fn the_objective_is_the_expectation_over_the_classes() {
    let subject = Subject::new(with_classes(dense(Paths::Bidirectional, true)), 22);
    let (known, unknown) = (subject.images(2), subject.images(3));
    let device = subject.store.device();
    let class = one_hot(device, &[1, 2]);
    let x = rung_autograd::ops::concat(&[&known, &unknown], 0).unwrap();
    let labelled = Labelled { x: &known, class: &class };
    let (log_q, sampled) =
        subject.model.sample_for_classes(&mut subject.pass(), labelled, Some(&unknown)).unwrap();
    let log_q = log_q.to_f64().unwrap();
    for row in log_q.chunks(CLASSES) {
        assert!((row.iter().map(|value| value.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let values = x.to_f64().unwrap();
    let size = subject.model.data_size();
    let images: Vec<usize> = (0..2).chain((2..5).flat_map(|image| [image; CLASSES])).collect();
    let rows: Vec<f64> = images
        .iter()
        .flat_map(|&image| values[image * size..(image + 1) * size].to_vec())
        .collect();
    let rows = Tensor::from_f64(device, &rows, [images.len(), size]).unwrap();
    let log_p_x = sampled.p_x.log_prob(&rows).unwrap().to_f64().unwrap();
    let ratios: Vec<Vec<f64>> = sampled
        .latents
        .iter()
        .map(|latent| latent.log_ratio().unwrap().to_f64().unwrap())
        .collect();
    let log_weight = |row: usize| {
        let clamped: f64 = ratios.iter().map(|ratio| ratio[row].max(0.2)).sum();
        log_p_x[row] - 0.7 * clamped - (CLASSES as f64).ln()
    };
    let labelled = f64::midpoint(log_weight(0), log_weight(1));
    let unlabelled = (0..3).flat_map(|image| (0..CLASSES).map(move |class| (image, class))).map(
        |(image, class)| {
            let log_q = log_q[(2 + image) * CLASSES + class];
            log_q.exp() * (log_weight(2 + image * CLASSES + class) - log_q)
        },
    );
    let fit = f64::midpoint(log_q[1], log_q[CLASSES + 2]);
    let expected = -(0.3 * labelled + 0.7 * unlabelled.sum::<f64>() / 3.0 + 0.5 * fit);
    let labelled = Labelled { x: &known, class: &class };
    let bound = semi_supervised_bound(
        &subject.model,
        &mut subject.pass(),
        labelled,
        Some(&unknown),
        &weights(0.3, 0.5),
    )
    .unwrap();
    assert!(
        (scalar(&bound.loss) - expected).abs() < 1e-10,
        "{} for {expected}",
        scalar(&bound.loss)
    );
}

#[test]
fn a_step_copies_nothing_to_the_device() {
    let devices = rung_kernels::opencl::found().unwrap_or_default();
    for device in devices
        .iter()
        .map(|device| Device::new(rung_kernels::opencl::OpenCl::open(device).unwrap()))
    {
        if !device.supports(DType::F64) {
            continue;
        }
        let subject = Subject::on(&device, with_classes(dense(Paths::Bidirectional, true)), 25);
        let (known, unknown, class) =
            (subject.images(2), subject.images(3), one_hot(&device, &[1, 2]));
        let before = device.statistics();
        let labelled = Labelled { x: &known, class: &class };
        semi_supervised_bound(
            &subject.model,
            &mut subject.pass(),
            labelled,
            Some(&unknown),
            &weights(0.3, 0.5),
        )
        .unwrap();
        let after = device.statistics();
        assert!(after.launches > before.launches);
        assert_eq!(before.bytes_to_device, after.bytes_to_device);
        assert_eq!(before.bytes_from_device, after.bytes_from_device);
    }
}

/// The class reaches every distribution of the top-down pass, and no bottom-up one.
#[test]
fn the_class_changes_what_is_conditioned_on_it() {
    let subject = Subject::new(with_classes(convolutional(Paths::Bidirectional, true)), 23);
    let x = subject.images(1);
    let of = |class: usize| {
        let class = one_hot(subject.store.device(), &[class]);
        let labelled = Labelled { x: &x, class: &class };
        let (_, sampled) =
            subject.model.sample_for_classes(&mut subject.pass(), labelled, None).unwrap();
        let means = sampled.latents.iter().map(|latent| latent.q.mean.to_f64().unwrap());
        (means.collect::<Vec<_>>(), sampled.p_x.log_prob(&x).unwrap().to_f64().unwrap())
    };
    let ((first, p_first), (second, p_second)) = (of(0), of(1));
    for (group, (first, second)) in subject.model.groups().iter().zip(first.iter().zip(&second)) {
        assert_eq!(first == second, group.role == "bottom-up", "{}", group.name());
    }
    assert_ne!(p_first, p_second);
}

#[test]
fn the_bound_without_a_label_rises_with_the_importance_samples() {
    let subject = Subject::new(with_classes(dense(Paths::Bidirectional, true)), 24);
    let x = subject.images(200);
    let bound = |importance_samples| {
        let objective = ObjectiveConfig { importance_samples, ..ObjectiveConfig::default() };
        -scalar(&subject.bound(&x, &objective).loss)
    };
    let (one, ten, hundred) = (bound(1), bound(10), bound(100));
    assert!(one < ten && ten < hundred, "{one}, {ten}, {hundred}");
    // Of ancestral samples every class has its turn.
    let source = LatentSource::StandardNormal { layer: 3, count: 2 * CLASSES };
    assert!(subject.model.generate(&mut subject.pass(), &source).is_ok());
}

#[test]
fn classes_need_inference_in_both_passes() {
    let new = |config| {
        Biva::new(config, &mut ParameterList::new(), &mut StatisticsList::default())
            .map_err(|error| error.to_string())
    };
    assert!(
        new(with_classes(dense(Paths::TopDown, true)))
            .unwrap_err()
            .contains("inference in both passes")
    );
    assert!(
        new(BivaConfig { classes: 1, ..dense(Paths::Bidirectional, true) })
            .unwrap_err()
            .contains("at least 2")
    );
}
