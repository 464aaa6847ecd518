//! The judgement of one NIK, pure: text, regions and a reference date in, five judged sections out.
//!
//! A NIK (Nomor Induk Kependudukan) is a person's 16-digit number: six digits of the kecamatan that
//! first registered them, six of the birth date (day + 40 for women), four of a serial.
//!
//! Source: UU 23/2006 as changed by UU 24/2013, art. 13 (each resident has one NIK, for life);
//! PP 37/2007 art. 37 (its 16 digits); PP 40/2019 art. 30, which took that decree's place (it never
//! changes, and does not follow its holder's moves).

#![no_std]
#![warn(missing_docs)]

extern crate alloc;

mod area;
mod assess;
pub mod birth_date;
pub mod dataset;
mod digits;
pub mod gender;
mod number;
pub mod region;
mod serial;
mod summary;

pub use assess::{Assessment, Section, assess};
pub use birth_date::Date;
pub use digits::Digits;
pub use number::Nik;
pub use summary::Summary;
