//! Given latents in every family: the generative model makes of an image's latents the p(x|z) that
//! inference found with them.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore, Tensor};
use rung_models::auxiliary::AuxiliaryFamily;
use rung_models::biva::{BivaConfig, Paths};
use rung_models::hierarchy::Inference;
use rung_models::matnet::MatNetBlock;
use rung_models::{
    AuxiliaryConfig, AuxiliaryModel, Biva, Hierarchy, HierarchyConfig, LatentModel, LatentSource,
    MapShape, MatNet, MatNetConfig, Mode, Pass, Statistics, StatisticsList,
};

const PIXELS: usize = 6;
const IMAGE: MapShape = MapShape { height: 2, width: 3, channels: 1 };
const SEED: u64 = 3;

type Built = Result<Box<dyn LatentModel>, String>;

/// Every family, small.
fn models() -> Vec<(&'static str, Box<dyn LatentModel>, ParameterStore, Statistics)> {
    let hierarchy = |inference| {
        let sizes = ([3, 2, 2].to_vec(), [4, 3, 2].to_vec());
        HierarchyConfig {
            latent_sizes: sizes.0,
            hidden_sizes: sizes.1,
            ..HierarchyConfig::paper(PIXELS, 3, inference)
        }
    };
    let biva =
        |paths| BivaConfig { paths, skips: true, ..BivaConfig::dense(PIXELS, 4, &[3, 2, 2], 2) };
    let block = |channels, latent_channels| MatNetBlock {
        channels,
        latent_channels,
        layers: 2,
        stride: 1,
        refines: false,
    };
    let matnet = MatNetConfig {
        top_units: 3,
        top_hidden: 4,
        image_channels: 2,
        blocks: vec![block(3, 2), block(2, 1)],
        ..MatNetConfig::default()
    };
    let auxiliary = AuxiliaryConfig {
        family: AuxiliaryFamily::Sdgm,
        latent_units: 2,
        auxiliary_units: 3,
        hidden_sizes: vec![5, 4],
        ..AuxiliaryConfig::default()
    };
    let mut built = Vec::new();
    let mut add =
        |name: &'static str, new: &dyn Fn(&mut ParameterList, &mut StatisticsList) -> Built| {
            let (mut parameters, mut statistics) =
                (ParameterList::new(), StatisticsList::default());
            let model = new(&mut parameters, &mut statistics).unwrap();
            let device = Device::cpu();
            let store = parameters.build(&device, DType::F64, Address::new(SEED, 0, 0)).unwrap();
            let statistics = statistics.build(&device, DType::F64).unwrap();
            built.push((name, model, store, statistics));
        };
    for (name, inference) in
        [("VAE", Inference::BottomUp), ("ladder", Inference::PROBABILISTIC_LADDER)]
    {
        add(name, &|parameters, statistics| {
            let model = Hierarchy::new(hierarchy(inference), parameters, statistics);
            model.map(|model| Box::new(model) as _).map_err(|error| error.to_string())
        });
    }
    for (name, paths) in [("LVAE", Paths::TopDown), ("BIVA", Paths::Bidirectional)] {
        add(name, &|parameters, statistics| {
            let model = Biva::new(biva(paths), parameters, statistics);
            model.map(|model| Box::new(model) as _).map_err(|error| error.to_string())
        });
    }
    add("MatNet", &|parameters, statistics| {
        let model = MatNet::new(matnet.clone().for_images(IMAGE), parameters, statistics);
        model.map(|model| Box::new(model) as _).map_err(|error| error.to_string())
    });
    add("SDGM", &|parameters, statistics| {
        let config = auxiliary.clone().for_images(IMAGE, 3);
        let model = AuxiliaryModel::new(config, parameters, statistics);
        model.map(|model| Box::new(model) as _).map_err(|error| error.to_string())
    });
    built
}

/// Means of p(x|z) of given latents.
fn decoded(
    model: &dyn LatentModel,
    pass: Pass<'_>,
    given: &[Option<Tensor>],
    class: Option<&Tensor>,
) -> Vec<f64> {
    let z = given.last().cloned().flatten().unwrap();
    let source = LatentSource::Given { layer: model.depth(), z };
    let mut pass = pass.with_given(given);
    let p_x = match (model.classifier(), class) {
        (Some(classifier), Some(class)) => classifier.generate_of(&mut pass, &source, class),
        _ => model.generate(&mut pass, &source),
    };
    p_x.unwrap().mean().unwrap().to_f64().unwrap()
}

#[test]
fn the_latents_of_an_image_give_its_p_x() {
    for (name, model, store, statistics) in models() {
        let device = store.device();
        let x: Vec<f64> = (0..4 * PIXELS).map(|pixel| f64::from(pixel % 5 == 0)).collect();
        let x = Tensor::from_f64(device, &x, [4, PIXELS]).unwrap();
        let pass = |step| Pass::new(&store, None, Mode::Frozen(&statistics), SEED, step);
        let sampled = model.infer(&mut pass(1), &x, 1).unwrap();
        // The class that the rows are of is the likeliest one.
        let log_q = sampled.class.as_ref().and_then(|class| class.log_q.clone());
        let class = log_q.map(|log_q| {
            let (values, columns) = (log_q.to_f64().unwrap(), log_q.shape().last());
            let ones = values.chunks(columns).flat_map(|row| {
                let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                row.iter().map(move |&value| f64::from(value == most))
            });
            Tensor::from_f64(device, &ones.collect::<Vec<_>>(), [4, columns]).unwrap()
        });
        let mut given: Vec<Option<Tensor>> =
            sampled.latents.iter().map(|latent| Some(latent.z.clone())).collect();
        let found = decoded(&*model, pass(2), &given, class.as_ref());
        let expected = sampled.p_x.mean().unwrap().to_f64().unwrap();
        let largest = found
            .iter()
            .zip(&expected)
            .map(|(found, expected)| (found - expected).abs())
            .fold(0.0, f64::max);
        assert!(largest < 1e-12, "{name}: {largest}");
        // A group that is left out is drawn.
        given[0] = None;
        let drawn = decoded(&*model, pass(2), &given, class.as_ref());
        assert_ne!(drawn, found, "{name}");
        let wrong = Tensor::from_f64(device, &[0.0; 4], [4, 1]).unwrap();
        given[0] = Some(wrong);
        if model.groups()[0].units != 1 && model.groups().len() > 1 {
            let z = given.last().cloned().flatten().unwrap();
            let source = LatentSource::Given { layer: model.depth(), z };
            let refused = model.generate(&mut pass(2).with_given(&given), &source);
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("the shape of its p"), "{name}: {error}");
        }
    }
}
