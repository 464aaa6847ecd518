//! A small set of regions.

use nik::Date;
use nik::region::{RETIRED_HEADER, Regions, RetiredCodes};

const CURRENT: &str = "\
32\tJawa Barat
3273\tKota Bandung
327301\tSukasari
91\tPapua
9171\tKota Jayapura
917101\tJayapura Utara
";

/// Two retired kecamatan: the name of 327302 is unknown, that of 327303 is known.
const RETIRED: &str = "\
327302\t3\t\tbefore 2015\tbefore 2015\t\tgap\tcode high / name unknown\t
327303\t3\tCoblong\tbefore 2012\tbefore 2003\t327301\tgap+annex\thigh\t
";

pub fn regions() -> Regions {
    let retired = format!("{RETIRED_HEADER}\n{RETIRED}");
    Regions::parse(CURRENT, &retired, RetiredCodes::All).expect("the sample is well-formed")
}

pub fn date(text: &str) -> Date {
    Date::parse(text).expect("a date in a test")
}
