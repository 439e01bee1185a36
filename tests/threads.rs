//! The number of threads does not show in the numbers.

use rayon::ThreadPoolBuilder;
use rung_autograd::{DType, Device};
use rung_tests::mlp::{Mlp, Sizes};

/// Large enough that every primitive of a step is spread over threads.
const SIZES: Sizes = Sizes { batch: 128, pixels: 784, hidden: 256, latent: 32 };
const STEPS: usize = 5;

fn train(threads: usize, dtype: DType) -> (Vec<f64>, Vec<Vec<f64>>) {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut mlp = Mlp::new(&Device::cpu(), dtype, SIZES).unwrap();
        let scalars = (0..STEPS).flat_map(|_| {
            let (loss, norm) = mlp.train_step().unwrap();
            [loss.to_scalar().unwrap(), norm.to_scalar().unwrap()]
        });
        (scalars.collect(), mlp.parameters().unwrap())
    })
}

#[test]
fn training_gives_the_same_bits_on_one_two_and_four_threads() {
    for dtype in [DType::F32, DType::F64] {
        let (scalars, parameters) = train(1, dtype);
        assert!(scalars.iter().all(|value| value.is_finite()), "{scalars:?}");
        assert!(scalars[2 * STEPS - 2] < scalars[0], "the loss does not fall: {scalars:?}");
        for threads in [2, 4] {
            let (other_scalars, other_parameters) = train(threads, dtype);
            assert_eq!(scalars, other_scalars, "{threads} threads, {dtype}");
            assert!(
                parameters == other_parameters,
                "{threads} threads, {dtype}: parameters differ"
            );
        }
    }
}
