//! Processes of this run: each names the run's folder in its command line, so that all of them can be found and
//! ended, whatever becomes of the run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Sends a signal by its name; false when there is no such process any more.
pub fn signal(pid: u32, name: &str) -> bool {
    let sent =
        Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
    sent.is_ok_and(|status| status.success())
}

/// A server that was started by this run, and can be started again as it was.
pub struct Server {
    /// For people.
    pub name: &'static str,
    argv: Vec<String>,
    folder: PathBuf,
    pid: u32,
    child: Option<Child>,
}

impl Server {
    /// One that runs already.
    pub fn adopted(name: &'static str, folder: &Path, pid: u32) -> Self {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let argv = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let argv: Vec<String> = argv.filter(|word| !word.is_empty()).collect();
        Self { name, argv, folder: folder.to_owned(), pid, child: None }
    }

    /// One with this command line, started.
    pub fn started(name: &'static str, folder: &Path, argv: Vec<String>) -> Self {
        let mut server = Self { name, argv, folder: folder.to_owned(), pid: 0, child: None };
        server.start();
        server
    }

    /// The program that it is.
    pub fn program(&self) -> &str {
        &self.argv[0]
    }

    /// Starts it as it was.
    pub fn start(&mut self) {
        let log = self.folder.join(format!("{}.again.log", self.name));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).current_dir(&self.folder).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.pid = child.id();
        self.child = Some(child);
    }

    /// Kills it as a machine that loses power would, and waits until it is gone.
    pub fn kill(&mut self) {
        signal(self.pid, "KILL");
        match &mut self.child {
            Some(child) => drop(child.wait()),
            None => wait_until_gone(self.pid),
        }
    }

    /// Stands still from now on.
    pub fn freeze(&self) {
        signal(self.pid, "STOP");
    }

    /// Goes on.
    pub fn thaw(&self) {
        signal(self.pid, "CONT");
    }
}

fn wait_until_gone(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_running(pid) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process exists and is not a zombie.
pub fn is_running(pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !text.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

/// The most memory that a process ever had resident, in KiB.
pub fn peak_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A folder of its own for all that a run leaves on disk. Dropped, it is removed, and whatever runs in it is
/// ended. A small shell does the same when this process is killed.
pub struct Folder {
    path: PathBuf,
    guard: Child,
}

/// Ends what names the folder in its command line, but for the shell itself, and removes the folder.
const SWEEP: &str = r#"for d in /proc/[0-9]*; do
  pid=${d#/proc/}
  [ "$pid" = "$$" ] && continue
  tr '\0' ' ' 2>/dev/null <"$d/cmdline" | grep -qF "$1/" && kill -9 "$pid" 2>/dev/null
done
sleep 0.3
umount "$1"/disk-* 2>/dev/null
rm -rf "$1""#;

impl Folder {
    /// A new one.
    pub fn new() -> Self {
        let name = format!("tollgate-chaos-{}-{}", std::process::id(), std::process::id() ^ 0x5bd1);
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        let watch = format!("while kill -0 {} 2>/dev/null; do sleep 1; done\n{SWEEP}", std::process::id());
        let mut guard = Command::new("sh");
        guard.args(["-c", &watch, "sh"]).arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        use std::os::unix::process::CommandExt as _;
        // A group of its own: Ctrl-C must not reach it.
        let guard = guard.stderr(Stdio::null()).process_group(0).spawn().unwrap();
        Self { path, guard }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        if std::env::var_os("TOLLGATE_CHAOS_KEEP").is_some() {
            let kept = SWEEP.lines().filter(|line| !line.starts_with("rm ")).collect::<Vec<_>>().join("\n");
            let _ = Command::new("sh").args(["-c", &kept, "sh"]).arg(&self.path).status();
            eprintln!("kept: {}", self.path.display());
            return;
        }
        let _ = Command::new("sh").args(["-c", SWEEP, "sh"]).arg(&self.path).status();
    }
}
