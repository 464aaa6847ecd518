//! The share of typing errors in a NIK that remain unnoticed, by what else is declared.
//!
//! `script/bench typos` runs this: every change of one digit and every swap of two different
//! neighbours, in synthetic NIKs of every kecamatan in force.

use nik::region::{Code, Regions, RetiredCodes};
use nik::{Claim, Comparison, Date, Nik, dataset, explain};
use nik_wire::Process;
use nik_wire::generate::{Generator, Options};

/// The number of NIKs.
const NIKS: usize = 20_000;
const NIK_DIGITS: usize = 16;

/// Typing errors, and those that remain unnoticed.
#[derive(Default)]
struct Counts {
    all: u64,
    valid: u64,
    /// Also with date of birth and gender declared.
    consistent: u64,
    /// Also with the kecamatan declared.
    same_area: u64,
}

impl Counts {
    fn print(&self, name: &str) {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let share = |count: u64| count as f64 / self.all as f64 * 100.0;
        let [valid, consistent, same_area] =
            [self.valid, self.consistent, self.same_area].map(share);
        println!(
            "{name:<18} {:>9} {valid:>9.1} % {consistent:>17.1} % {same_area:>13.1} %",
            self.all
        );
    }
}

struct Bench<'a> {
    regions: &'a Regions,
    reference: Date,
}

impl Bench<'_> {
    fn count(&self, counts: &mut Counts, typed: [u8; NIK_DIGITS], claim: &Claim) {
        counts.all += 1;
        let text = str::from_utf8(&typed).expect("digits");
        let nik = Nik::new(text).expect("sixteen digits");
        let explained = explain(&nik, self.regions, 0, self.reference);
        if !explained.assessment.is_valid() {
            return;
        }
        counts.valid += 1;
        let declared = claim.compare(&explained, self.regions, self.reference);
        let declared = declared.expect("everything is declared");
        if declared.consistent() == Some(true) {
            counts.consistent += 1;
            let area = [Some(Comparison::Match), Some(Comparison::MatchByHistory)];
            counts.same_area += u64::from(area.contains(&declared.area));
        }
    }
}

fn main() {
    let regions = dataset::regions(RetiredCodes::All).expect("well-formed tables");
    let in_force = dataset::regions(RetiredCodes::None).expect("well-formed tables");
    let reference = Date::parse("2026-06-15").expect("a date");
    let bench = Bench { regions: &regions, reference };
    let options = Options { invalid: 0.0, process: Some(Process::Limited), ..Options::default() };
    let mut generator = Generator::new(&in_force, 1, options);
    let (mut changed, mut swapped) = (Counts::default(), Counts::default());
    let mut request = Vec::new();
    for _ in 0..NIKS {
        request.clear();
        generator.request(&mut request);
        let text = str::from_utf8(&request).expect("text");
        let text = &text[r#"{"nik":[""#.len()..][..NIK_DIGITS];
        let explained = explain(&Nik::new(text).expect("a NIK"), &regions, 0, reference);
        let claim = Claim {
            birth_date: explained.assessment.dob.value.map(|born| born.date),
            gender: explained.assessment.gender.value,
            area: Code::from_digits(&text[..6]),
        };
        let digits: [u8; NIK_DIGITS] = text.as_bytes().try_into().expect("sixteen digits");
        for at in 0..NIK_DIGITS {
            for digit in (b'0'..=b'9').filter(|digit| *digit != digits[at]) {
                let mut typed = digits;
                typed[at] = digit;
                bench.count(&mut changed, typed, &claim);
            }
            if at > 0 && digits[at] != digits[at - 1] {
                let mut typed = digits;
                typed.swap(at, at - 1);
                bench.count(&mut swapped, typed, &claim);
            }
        }
    }
    println!(
        "typing errors unnoticed       of   nothing declared   date and gender   and kecamatan"
    );
    changed.print("one digit changed");
    swapped.print("neighbours swapped");
}
