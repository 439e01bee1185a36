//! From a data set to what a model sees: opened by its name (`source.rs`), its pixels treated as
//! the configuration says (`treatment.rs`), in the memory of a device (`device_images.rs`), and
//! images drawn back into pictures (`image_grid.rs`).

mod device_images;
pub mod image_grid;
mod published;
pub mod source;
pub mod treatment;

pub use device_images::DeviceImages;
pub use published::published_shape;
