//! What the fuzz targets check.

pub mod checks;
#[cfg(feature = "programs")]
pub mod outside;
