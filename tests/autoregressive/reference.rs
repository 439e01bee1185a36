//! A second implementation of the parameters of an autoregressive p(x|z): explicit loops over
//! positions, kernels and channels, written from the equations (specification C, section 8.2).

use rung_autograd::ParameterStore;
use rung_models::MapShape;
use rung_models::autoregressive::AutoregressiveConfig;

/// The numbers of a parameter.
fn parameter(store: &ParameterStore, name: &str) -> Vec<f64> {
    let id = store.find(name).unwrap_or_else(|| panic!("there is no parameter {name}"));
    store.tensor(id, None).to_f64().unwrap()
}

fn elu(x: f64) -> f64 {
    if x > 0.0 { x } else { x.exp() - 1.0 }
}

/// The parameters of every position of one image: `x` planar, `features` and `base` as
/// [position, channel].
pub(crate) fn parameters(
    store: &ParameterStore,
    config: &AutoregressiveConfig,
    image: MapShape,
    x: &[f64],
    features: &[f64],
    base: &[f64],
) -> Vec<f64> {
    let MapShape { height, width, channels } = image;
    let positions = height * width;
    let feature_channels = features.len() / positions;
    let mut seen: Vec<Vec<f64>> = (0..positions)
        .map(|p| (0..channels).map(|c| 2.0 * x[c * positions + p] - 1.0).collect())
        .collect();
    for layer in 1..=config.layers {
        let (side, sees_itself) = if layer == 1 { (config.kernel, false) } else { (3, true) };
        let weight = parameter(store, &format!("{layer}.context.weight"));
        let linear = parameter(store, &format!("{layer}.features.weight"));
        let bias = parameter(store, &format!("{layer}.features.bias"));
        let mut next = Vec::new();
        for p in 0..positions {
            let (row, column) = ((p / width) as isize, (p % width) as isize);
            let mut sum = bias.clone();
            for (c, f) in features[p * feature_channels..][..feature_channels].iter().enumerate() {
                for (o, sum) in sum.iter_mut().enumerate() {
                    *sum += f * linear[c * config.channels + o];
                }
            }
            let half = (side / 2) as isize;
            for down in -half..=half {
                for right in -half..=half {
                    let (r, c) = (row + down, column + right);
                    if r < 0 || c < 0 || r >= height as isize || c >= width as isize {
                        continue;
                    }
                    let q = r as usize * width + c as usize;
                    // The mask, by the order of the positions and nothing else.
                    let is_before = down < 0 || (down == 0 && right < 0);
                    if !(is_before || sees_itself && down == 0 && right == 0) {
                        continue;
                    }
                    let tap = ((down + half) * side as isize + right + half) as usize;
                    let inputs = seen[q].len();
                    for (i, value) in seen[q].iter().enumerate() {
                        for (o, sum) in sum.iter_mut().enumerate() {
                            *sum += value * weight[(tap * inputs + i) * config.channels + o];
                        }
                    }
                }
            }
            if layer > 1 {
                sum.iter_mut().zip(&seen[p]).for_each(|(sum, own)| *sum += own);
            }
            next.push(sum.into_iter().map(elu).collect());
        }
        seen = next;
    }
    let output = parameter(store, "output.weight");
    let per_position = base.len() / positions;
    let mut out = base.to_vec();
    for (p, g) in seen.iter().enumerate() {
        for (c, g) in g.iter().enumerate() {
            for o in 0..per_position {
                out[p * per_position + o] += g * output[c * per_position + o];
            }
        }
    }
    out
}
