//! `nik-stream token`: the tokens of NIKs that a reader of results knows.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

use super::config::Files;
use super::written;
use crate::config::{Privacy, Problem, Problems, read_keys};
use nik_wire::TokenKey;

/// Prints the tokens of NIKs
///
/// Each line of standard input is a NIK, as text. Standard output gets its token under the first key
/// of the key file, line by line.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  echo 3273010101900001 | nik-stream token --key-file keys")]
pub struct TokenArgs {
    /// The key file; default: `privacy.key_file`
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,

    #[command(flatten)]
    files: Files,
}

pub fn run(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let key = match &args.key_file {
        Some(path) => {
            read_keys(path).map_err(|text| problem("--key-file", None, text))?.into_iter().next()
        }
        None => args.files.load()?.settings.privacy.keys.first().map(|key| (**key).clone()),
    };
    let key = key.ok_or_else(|| {
        problem(
            "--key-file",
            Some(Privacy::KEY_FILE),
            "a key is needed: give one of the two".to_owned(),
        )
    })?;
    let input = BufReader::new(io::stdin().lock());
    let output = BufWriter::new(io::stdout().lock());
    written(tokens(&key, input, output))
}

fn problem(origin: &str, key: Option<&str>, text: String) -> Problems {
    let (origin, key) = (origin.to_owned(), key.map(str::to_owned));
    Problems(vec![Problem { origin, key, text }])
}

/// Writes the token of each line. A line ends with LF or CR LF.
fn tokens<R: io::Read>(
    key: &TokenKey,
    mut input: BufReader<R>,
    mut output: impl Write,
) -> io::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        output.write_all(key.token(text).as_bytes())?;
        output.write_all(b"\n")?;
        line.clear();
        if input.buffer().is_empty() {
            output.flush()?; // the next line may never come
        }
    }
    output.flush()
}
