//! A child process that cannot outlive this one, even if this one is killed.
//!
//! The child runs under a small shell that reads a pipe which only this process holds. When this
//! process is gone (a panic, a timeout of CI, kill -9) the pipe closes, and the shell kills the
//! child and removes its directory. `PR_SET_PDEATHSIG` would do it without the shell, but needs
//! `unsafe` between fork and exec.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

// $1: the directory to remove when the owner is gone (may be empty), $2 and $3: where the output
// goes, then the command.
const KEEPER: &str = r#"
dir=$1 out=$2 err=$3; shift 3
exec 3<&0
"$@" </dev/null >>"$out" 2>>"$err" 3<&- &
pid=$!
{
    read -r _ <&3
    trap '' TERM # the shell below sends it when it sees the child end
    kill -KILL $pid
    while kill -0 $pid; do sleep 0.05; done
    [ -z "$dir" ] || rm -rf "$dir"
} >/dev/null 2>&1 &
watcher=$!
echo $pid
wait $pid
code=$?
kill $watcher
exit $code
"#;

/// The process, killed when dropped.
pub struct ChildProcess {
    shell: Child,
    pid: u32,
    // Held apart from `shell`, whose `wait` would close it.
    _lifeline: ChildStdin,
}

impl ChildProcess {
    /// Starts `program args` with these variables added; its output is appended to the files `out`
    /// and `err` in `dir`. The directory `temporary` is removed if the owner dies without dropping
    /// this.
    pub fn start(
        program: &str,
        args: &[&str],
        environment: &[(String, String)],
        dir: &Path,
        out: &str,
        err: &str,
        temporary: &Path,
    ) -> ChildProcess {
        let mut shell = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .args([temporary, &dir.join(out), &dir.join(err)])
            .arg(program)
            .args(args)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C on a terminal reaches only the owner, whose end closes the pipe.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("the shell prints the process id");
        let pid = line.trim().parse().expect("a process id");
        let lifeline = shell.stdin.take().expect("piped");
        ChildProcess { shell, pid, _lifeline: lifeline }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends the signal (`TERM`, `KILL`, `STOP`, `CONT`, ...), without effect if the process has
    /// ended.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`, since slim images lack the program. The keeping shell has not
        // waited for its child, so the process id is not reused.
        let _ = Command::new("sh")
            .args(["-c", "kill -s $0 $1", name, &self.pid.to_string()])
            .stderr(Stdio::null())
            .status();
    }

    /// The exit code, 128 + n after signal n; `None` while the process runs.
    pub fn ended(&mut self) -> Option<i32> {
        self.shell
            .try_wait()
            .expect("the shell can be waited for")
            .map(|status| status.code().unwrap_or(-1))
    }

    /// The exit code, or `None` if the process still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        loop {
            match self.ended() {
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                code => return code,
            }
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal("KILL");
            let _ = self.shell.wait();
        }
    }
}
