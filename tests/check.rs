//! The command `check`, from its arguments and its input to its output.

use std::io::{self, BufReader, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use clap::{Args, Command, FromArgMatches};
use nik_stream::cli::check::{CheckArgs, check};
use nik_wire::process::Settings;
use nik_wire::{Framing, Limits};

use crate::sample::{answer, answer_under, processor};

fn arguments(arguments: &[&str]) -> Result<CheckArgs, clap::Error> {
    let command = CheckArgs::augment_args(Command::new("check").no_binary_name(true));
    CheckArgs::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// The output of `check` for these arguments and this input, read `chunk` bytes at a time.
fn checked(settings: Settings, list: &[&str], input: impl Read, chunk: usize) -> String {
    let input = BufReader::with_capacity(chunk, input);
    let (mut output, list) = (Vec::new(), arguments(list).unwrap());
    check(&list, &mut processor(settings), input, &mut output, io::sink()).unwrap();
    String::from_utf8(output).unwrap()
}

fn lines(input: &[u8]) -> String {
    checked(Settings::default(), &["--reference-date", "2024-03-01"], input, 8192)
}

#[test]
fn niks_given_as_arguments_get_one_result() {
    let list = ["--reference-date=2024-03-01", "3273010101900001", "3273010101900001", "12\"45"];
    let request = r#"{"nik":["3273010101900001","3273010101900001","12\"45"],"process":"limited"}"#;
    assert_eq!(checked(Settings::default(), &list, io::empty(), 8192), answer(request).1 + "\n");

    let list = ["--process", "full", "--reference-date", "2024-03-01", "1234567891234567"];
    let full = include_str!("../crates/nik-wire/tests/golden/origin/full.json").to_owned() + "\n";
    assert_eq!(checked(Settings::default(), &list, io::empty(), 8192), full);
}

#[test]
fn every_line_gets_exactly_the_bytes_that_would_be_published() {
    let full = include_str!("../crates/nik-wire/tests/golden/origin/full.json");
    let failed = r#"{"message":"failed","data":[]}"#;
    let request = r#"{"nik":["1234567891234567"],"process":"full"}"#;
    assert_eq!(lines(format!("{request}\n").as_bytes()), format!("{full}\n"));
    assert_eq!(lines(request.as_bytes()), format!("{full}\n"), "without a newline at the end");
    assert_eq!(lines(b""), "");
    assert_eq!(lines(b"\n"), format!("{failed}\n"));
    let input = [b"\n\xff\xfe\n{}\n".as_slice(), request.as_bytes(), b"\r\n"].concat();
    assert_eq!(lines(&input), format!("{failed}\n{failed}\n{failed}\n{full}\n"));
}

#[test]
fn the_output_does_not_depend_on_how_the_input_is_split_into_reads() {
    let request = r#"{"nik":["3273010101900001",[]],"process":"limited"}"#;
    let input = format!("{request}\n\nx\n{request}");
    let whole = lines(input.as_bytes());
    for chunk in 1..=input.len() {
        let list = ["--reference-date=2024-03-01"];
        assert_eq!(checked(Settings::default(), &list, input.as_bytes(), chunk), whole);
    }
}

#[test]
fn a_line_over_the_request_limit_is_a_failure_and_is_not_buffered() {
    let request = r#"{"nik":[],"process":"full"}"#;
    let limits = Limits { request_bytes: request.len(), ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let failed = answer_under(settings, format!("{request} ").as_bytes()).1;
    let huge = io::repeat(b'x').take(50_000_000);
    let input = request.as_bytes().chain(&b"\n"[..]).chain(huge).chain(&b"\n"[..]);
    let input = input.chain(request.as_bytes()).chain(&b" \n"[..]).chain(request.as_bytes());
    let answered = answer_under(settings, request.as_bytes()).1;
    let expected = format!("{answered}\n{failed}\n{failed}\n{answered}\n");
    assert_eq!(checked(settings, &["--reference-date=2024-03-01"], input, 65_536), expected);
}

#[test]
fn a_line_of_base64_is_a_request_that_may_contain_line_breaks() {
    let framing = Framing { requests: true, ..Framing::default() };
    let settings = Settings { framing, ..Settings::default() };
    let request = r#"{"nik":["1234567891234567"],"process":"full"}"#;
    let full = include_str!("../crates/nik-wire/tests/golden/origin/full.json");
    let framed = [b"\0\0\0\n\n", request.as_bytes()].concat();
    let failed = r#"{"message":"failed","data":[]}"#;
    let lines = [STANDARD.encode(&framed), STANDARD_NO_PAD.encode(request), String::new()];
    let input = format!("{}\n{}\r\n{}\n", lines[0], lines[1], lines[2]);
    let list = ["--base64", "--reference-date=2024-03-01"];
    let expected = format!("{full}\n{full}\n{failed}\n");
    for chunk in [1, 8192] {
        assert_eq!(checked(settings, &list, input.as_bytes(), chunk), expected);
    }
}

#[test]
fn a_request_in_base64_may_be_as_long_as_the_limit() {
    let request = br#"{"nik":[],"process":"full"}"#;
    let list = ["--base64", "--reference-date=2024-03-01"];
    for spaces in 0..9 {
        let padded = [&b"         "[..spaces], request].concat();
        for more in 0..9 {
            let limits = Limits { request_bytes: padded.len() - more, ..Limits::default() };
            let settings = Settings { limits, ..Settings::default() };
            let input = STANDARD.encode(&padded);
            let expected = answer_under(settings, &padded).1 + "\n";
            assert_eq!(checked(settings, &list, input.as_bytes(), 8192), expected);
        }
    }
}

#[test]
fn a_line_that_is_not_base64_is_an_error_that_names_it() {
    let settings = Settings::default();
    let input: &[u8] = b"e30=\n{}\n";
    let arguments = arguments(&["--base64"]).unwrap();
    let error =
        check(&arguments, &mut processor(settings), input, io::sink(), io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().starts_with("standard input: line 2: expected base64"), "{error}");
}

#[test]
fn the_reasons_of_failures_are_named_with_their_lines_and_without_their_content() {
    let input: &[u8] =
        b"{\"nik\":[\"3273010101900001\"],\"process\":\"limited\"}\n3273010101900001\n\n";
    let (list, mut reasons) = (arguments(&[]).unwrap(), Vec::new());
    check(&list, &mut processor(Settings::default()), input, io::sink(), &mut reasons).unwrap();
    let reasons = String::from_utf8(reasons).unwrap();
    assert_eq!(
        reasons,
        "check: line 2 failed: invalid_request (`nik-stream explain invalid_request` explains it)\n\
         check: line 3 failed: malformed_json (`nik-stream explain malformed_json` explains it)\n"
    );
}

#[test]
fn the_reference_date_is_today_unless_it_is_given() {
    let today = chrono::Utc::now() + chrono::TimeDelta::hours(7);
    let born_today = today.format("327301%d%m%y0001").to_string();
    let output = checked(Settings::default(), &["--process=full", &born_today], io::empty(), 8192);
    assert!(output.contains(&today.format(r#""dob":"%d-%m-%Y","age":0"#).to_string()), "{output}");
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for list in
        [["--reference-date", "2023-02-29"], ["--reference-date", "today"], ["--process", "Full"]]
    {
        let error = arguments(&list).expect_err("wrong");
        assert_eq!(error.exit_code(), 2, "{error}");
    }
}

#[test]
fn the_rules_are_those_of_the_service_in_this_environment_unless_the_defaults_are_asked_for() {
    let judged = |arguments: &[&str]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_nik-stream"));
        program.arg("check").args(arguments).args(["--reference-date", "2024-03-01"]);
        program.arg("3273010101900001").env_clear().env("NIK_STREAM__RULES__MIN_AGE", "150");
        String::from_utf8(program.output().unwrap().stdout).unwrap()
    };
    assert!(judged(&[]).contains(r#""3273010101900001":false"#));
    assert!(judged(&["--defaults"]).contains(r#""3273010101900001":true"#));
}

#[test]
fn help_shows_an_example() {
    let mut command = CheckArgs::augment_args(Command::new("check"));
    let help = command.render_long_help().to_string();
    assert!(help.contains("Examples:\n  nik-stream check 3273010101900001"), "{help}");
}

/// An input whose writer waits for each answer before the next line.
struct Conversation {
    answers: std::rc::Rc<std::cell::Cell<usize>>,
    asked: usize,
}

impl Read for Conversation {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert_eq!(self.answers.get(), self.asked, "each line is answered before the next is read");
        self.asked += 1;
        if self.asked > 3 {
            return Ok(0);
        }
        buffer[..2].copy_from_slice(b"x\n");
        Ok(2)
    }
}

struct Listener(std::rc::Rc<std::cell::Cell<usize>>);

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(|count| count + bytes.split(|byte| *byte == b'\n').count() - 1);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_line_is_answered_before_the_next_one_is_read() {
    let answers = std::rc::Rc::new(std::cell::Cell::new(0));
    let input = BufReader::new(Conversation { answers: answers.clone(), asked: 0 });
    let output = io::BufWriter::new(Listener(answers.clone()));
    let (list, mut processor) = (arguments(&[]).unwrap(), processor(Settings::default()));
    check(&list, &mut processor, input, output, io::sink()).unwrap();
    assert_eq!(answers.get(), 3);
}
