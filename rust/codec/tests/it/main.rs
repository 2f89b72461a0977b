//! Tests of the codec's public interface.

mod bounds;
mod goldens;
mod properties;
mod scan;
mod vectors;
