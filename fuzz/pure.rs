//! The layers of nik-stream that know no Kafka, no clock and no files, under the package's own name.

#[path = "../src/codec/mod.rs"]
pub mod codec;
#[path = "../src/dataset.rs"]
pub mod dataset;
#[path = "../src/generate.rs"]
pub mod generate;
#[path = "../src/nik/mod.rs"]
pub mod nik;
#[path = "../src/pipeline/mod.rs"]
pub mod pipeline;
#[path = "../src/region/mod.rs"]
pub mod region;
