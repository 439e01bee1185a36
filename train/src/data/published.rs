//! What is known of images before any are opened.

use rung_datasets::ImageShape;

use crate::config::DataConfig;
use crate::error::{Error, Result};

/// The shape of an image of the configured data set, where its name alone tells: for what is
/// computed without any data, such as the size of a preset's model.
///
/// # Errors
/// If the data set is no published one: only its files know their shape.
pub fn published_shape(config: &DataConfig) -> Result<ImageShape> {
    if config.sequences_of().is_some() {
        return Ok(config.sequences().shape());
    }
    let known = rung_datasets::registry::find(&config.name);
    known.map(|known| known.shape).map_err(|error| {
        Error::new(format!(
            "the shape of the images of {} is not known before they are opened: \
        {error}",
            config.name
        ))
        .with_advice(
            "name a data set of `rung data list`, or train on your own first: the run then \
                knows its shape",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_published_name_tells_a_shape() {
        let named = |name: &str| {
            published_shape(&DataConfig { name: name.into(), ..DataConfig::default() })
        };
        assert_eq!(named("norb").unwrap(), ImageShape::new(1, 32, 32));
        assert_eq!(named("sequences:mnist").unwrap(), ImageShape::new(1, 100, 100));
        assert_eq!(named("cifar-10").unwrap(), ImageShape::new(3, 32, 32));
        for own in ["npz:a.npz", "images:cats"] {
            assert!(named(own).unwrap_err().to_string().contains("not known before"), "{own}");
        }
    }
}
