//! Tokens: the test vectors of HMAC-SHA-256, key files, and what results may not hold.

use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::generate::{Generator, Options};
use nik_wire::process::{Privacy, Processor, Settings};
use nik_wire::{KeyFileError, TokenKey};

use crate::sample::{date, processor};

fn token(key: &TokenKey, text: &[u8]) -> String {
    String::from_utf8(key.token(text).as_bytes().to_vec()).unwrap()
}

#[test]
fn tokens_are_those_of_the_test_vectors_of_rfc_4231() {
    let long = [0xaa; 131];
    let counted: Vec<u8> = (1..=25).collect();
    // Key, data, and the first 128 bits of the digest in base32.
    let cases: [(&[u8], &[u8], &str); 7] = [
        (&[0x0b; 20], b"Hi There", "wa2eyyoy3m4fgxfiv7hk6c7rfm"),
        (b"Jefe", b"what do ya want for nothing?", "lpomcrv7mb2u42qeeqtarflvy4"),
        (&[0xaa; 20], &[0xdd; 50], "o47kshrwqahenbknxdv5bembu4"),
        (&counted, &[0xcd; 50], "qjkyuoe2iq6a5jgmqgmjt4qihi"),
        (&[0x0c; 20], b"Test With Truncation", "uo3bm5dtcahoa3qmpfwcsvkvfm"),
        (
            &long,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "mdsdcwi64c3h6dmke2vmx5nxp4",
        ),
        (
            &long,
            b"This is a test using a larger than block-size key and a larger than block-size data. \
              The key needs to be hashed before being used by the HMAC algorithm.",
            "tme77jy3sqx4wj3dl66nlmhjiq",
        ),
    ];
    for (key, data, expected) in cases {
        let key = TokenKey::new("4231", key).unwrap();
        assert_eq!(token(&key, data), format!("t4231_{expected}"));
    }
}

#[test]
fn a_key_file_has_an_id_and_a_key_in_each_line_and_the_first_writes() {
    let (one, other) = ("0b".repeat(32), "0B".repeat(31) + "fF");
    let keys = TokenKey::read_file(&format!("2026 {one}\r\nZ {other}\n")).unwrap();
    let tokens: Vec<_> = keys.iter().map(|key| token(key, b"Hi There")).collect();
    assert!(tokens[0].starts_with("t2026_") && tokens[1].starts_with("tZ_"), "{tokens:?}");
    assert_ne!(tokens[0][6..], tokens[1][3..]);
    let longest = TokenKey::read_file(&format!("{} {one}", "i".repeat(16))).unwrap();
    assert_eq!(longest[0].token(b"").as_bytes().len(), 44);
}

#[test]
fn a_broken_key_file_names_its_line_and_quotes_nothing() {
    let key = "5e".repeat(32);
    let cases = [
        (String::new(), KeyFileError::Empty),
        ("\n".to_owned(), KeyFileError::Form(1)),
        (key.clone(), KeyFileError::Form(1)),
        (format!("a\t{key}"), KeyFileError::Form(1)),
        (format!("a {key}\n\n"), KeyFileError::Form(2)),
        (format!("a  {key}"), KeyFileError::Key(1)),
        (format!("a {key} "), KeyFileError::Key(1)),
        (format!("a {}", &key[2..]), KeyFileError::Key(1)),
        (format!("a +{}", &key[1..]), KeyFileError::Key(1)),
        (format!("a {}é", &key[2..]), KeyFileError::Key(1)),
        (format!(" {key}"), KeyFileError::Id(1)),
        (format!("a-b {key}"), KeyFileError::Id(1)),
        (format!("é {key}"), KeyFileError::Id(1)),
        (format!("{} {key}", "i".repeat(17)), KeyFileError::Id(1)),
        (format!("a {key}\nb {key}\na {key}"), KeyFileError::Repeated(3)),
    ];
    for (text, expected) in cases {
        let error = TokenKey::read_file(&text).unwrap_err();
        assert_eq!(error, expected, "{text:?}");
        assert!(!error.to_string().contains("5e5e"), "{error}");
    }
}

#[test]
fn debug_shows_no_key() {
    let key = TokenKey::new("a", &[0xab; 32]).unwrap();
    let privacy = Privacy { tokens: Some(key.into()), ..Privacy::default() };
    let shown = format!("{privacy:?}").to_lowercase();
    assert!(shown.contains("ta_") && !shown.contains("abab") && !shown.contains("171"), "{shown}");
}

/// Every NIK is different, so that a run of its digits in the outcome can only come from it.
#[test]
fn no_outcome_holds_a_nik_among_tokens() {
    let regions = dataset::regions(RetiredCodes::All).unwrap();
    let options = Options {
        niks_per_request: 200,
        invalid: 0.4,
        unreadable: 0.2,
        claims: 0.5,
        mismatch: 0.2,
        ..Options::default()
    };
    let mut generator = Generator::new(&regions, 11, options);
    let key = TokenKey::new("a", &[7; 32]).unwrap();
    let privacy = Privacy { tokens: Some(key.into()), failures_by_reference: true };
    let mut processor =
        Processor::new(regions.into(), Settings::default()).with_privacy(privacy.clone());
    let (mut request, mut out) = (Vec::new(), Vec::new());
    for round in 0..100 {
        request.clear();
        generator.request(&mut request);
        if round % 10 == 0 {
            request.pop(); // malformed
        }
        processor.process(Some(&request), date("2025-06-15"), &mut out);
        let digits = |text: &[u8]| -> Vec<Vec<u8>> {
            let runs = text.split(|byte| !byte.is_ascii_digit());
            runs.filter(|run| run.len() > 8).map(<[u8]>::to_vec).collect()
        };
        assert!(digits(&request).len() > 100);
        assert_eq!(digits(&out), Vec::<Vec<u8>>::new());
    }
    let mut processor = self::processor(Settings::default()).with_privacy(privacy);
    let request = br#"{"nik":["3273010101900001"],"process":"limited"}"#;
    processor.refuse(Some(request), nik_wire::Reason::ResultTooLarge, true, &mut out);
    assert_eq!(out, br#"{"message":"failed","data":[]}"#);
}
