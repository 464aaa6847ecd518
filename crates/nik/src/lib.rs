#![doc = include_str!("../README.md")]
//!
//! # Source
//!
//! UU 23/2006 as amended by UU 24/2013, art. 13 (each resident has one NIK, for life); PP 37/2007
//! art. 37 (16 digits: six for the kecamatan of first registration, six for the date of birth with
//! 40 added to a woman's day, four for a serial number); PP 40/2019 art. 30, which replaced PP
//! 37/2007 (a NIK never changes, even when its holder moves).

#![no_std]
#![warn(missing_docs)]

extern crate alloc;

mod area;
mod assess;
mod birth_date;
mod claim;
pub mod dataset;
mod digits;
mod explain;
mod gender;
mod length;
mod named;
mod number;
mod reason;
pub mod region;
mod serial;
mod summary;

pub use assess::{Assessment, Section, assess};
pub use birth_date::{BirthDate, Date, NotADate};
pub use claim::{Claim, Comparison, Declared};
pub use digits::Digits;
pub use explain::{Explanation, Warning, explain};
pub use gender::Gender;
pub use number::Nik;
pub use reason::SectionReason;
pub use summary::{ExplainedSummary, Summary};
