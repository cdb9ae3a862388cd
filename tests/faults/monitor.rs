//! The monitor that `shim start` leaves behind. It is started by us and runs another program, so it
//! is struck by an strace of its own, which takes hold of it while it waits for what it is to do:
//! the command that sends this is held up for a moment.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use dunnage_tests::binary;
use dunnage_tests::containers::ShimKind;
use dunnage_tests::strace;

use crate::calls;
use crate::checks::{ensure, message};
use crate::node::Bed;
use crate::shims::not_started;
use crate::strike::{Following, Log, Point, Struck, strike};
use crate::sweep::Victim;

/// How long the command is held up, in milliseconds; longer if that was not enough.
const HOLD_UPS: [u64; 3] = [300, 1000, 5000];
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// A shim is started, and stopped if it was.
pub(crate) struct Monitor;

impl Victim for Monitor {
    type Bed = Bed;

    fn name(&self) -> String {
        "shim start, its monitor".to_owned()
    }

    fn bed(&self) -> Bed {
        Bed::new(ShimKind::Remote)
    }

    fn bed_lasts(&self) -> bool {
        true
    }

    fn strike(&self, bed: &mut Bed, point: Option<&Point>) -> Struck {
        for hold_up in HOLD_UPS {
            bed.create().expect(0);
            let (struck, attached) = strike_monitor(bed, hold_up, point);
            if attached {
                return struck;
            }
            bed.delete().expect("a deletion");
        }
        panic!("the monitor was never found waiting");
    }

    fn judge_plain(&self, bed: &mut Bed, struck: &Struck) -> Result<(), String> {
        ensure!(struck.outcome.code == Some(0), "{:?}", struck.outcome);
        bed.complete()?;
        // Without force: nothing runs any more.
        let deleted = bed.node.dunnage(["delete", "web"]);
        ensure!(deleted.code == Some(0), "deleting: {deleted:?}");
        bed.clean()
    }

    fn judge_error(&self, bed: &mut Bed, point: &Point, struck: &Struck) -> Result<(), String> {
        if struck.outcome.code == Some(0) {
            return self.judge_plain(bed, struck);
        }
        // A monitor that cannot answer cannot say why.
        let told = !struck.outcome.stderr.contains("it did not answer");
        message(&struck.outcome, &[1], struck.cause(point).filter(|_| told))?;
        not_started(bed)
    }

    /// The command lives, and must clean up.
    fn judge_kill(&self, bed: &mut Bed, _: &Point, struck: &Struck) -> Result<(), String> {
        if struck.outcome.code == Some(0) {
            return self.judge_plain(bed, struck);
        }
        message(&struck.outcome, &[1], None)?;
        not_started(bed)
    }
}

/// Which `write` of its thread sends the monitor its plan.
fn nth_write(bed: &Bed) -> usize {
    static NTH: OnceLock<usize> = OnceLock::new();
    *NTH.get_or_init(|| {
        let struck = strike(&start(bed), Following::UntilExec, &bed.log.path().join("log"), None);
        bed.delete().expect("a deletion");
        bed.create().expect(0);
        struck.log.nth("write", r#""{\"program\""#).expect("a plan")
    })
}

fn start(bed: &Bed) -> Command {
    bed.node.scratch.command(["shim", "start", "web", "-o", "json"])
}

/// Starts a shim and strikes its monitor; stops the shim. Whether the monitor was found in time.
fn strike_monitor(bed: &Bed, hold_up: u64, point: Option<&Point>) -> (Struck, bool) {
    let delay = format!("--inject=write:delay_enter={}:when={}", hold_up * 1000, nth_write(bed));
    let options = ["-f", "-q", "--detach-on=execve", "-o", "/dev/null", "--trace=write", &delay];
    let mut held_up = strace::traced_exactly(&start(bed), options);
    held_up.process_group(0);
    let log = bed.log.path().join("log");
    thread::scope(|scope| {
        let started = scope.spawn(move || binary::run_within(COMMAND_TIMEOUT, &mut held_up, []));
        let tracer = (|| {
            let pid = waiting_monitor(bed, || started.is_finished())?;
            attach(pid, log.to_str().expect("UTF-8"), point)
        })();
        let outcome = started.join().expect("the command");
        if outcome.code == Some(0) {
            bed.node.dunnage(["shim", "stop", "web"]).expect(0);
        }
        let attached = tracer.map(|mut tracer| tracer.wait().expect("the end of strace")).is_some();
        (Struck { outcome, log: Log::take(&log) }, attached)
    })
}

/// The monitor once it reads from its standard input.
fn waiting_monitor(bed: &Bed, is_over: impl Fn() -> bool) -> Option<u32> {
    let reads = format!("{} 0x0 ", libc::SYS_read);
    while !is_over() {
        let waits =
            |pid: &u32| fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|at| at.starts_with(&reads));
        if let Some(pid) = bed.new_monitors().into_iter().find(waits) {
            return Some(pid);
        }
        thread::sleep(Duration::from_millis(2));
    }
    None
}

/// An strace that has taken hold of a process; none if it could not before that went on.
fn attach(pid: u32, log: &str, point: Option<&Point>) -> Option<Child> {
    let (trace, injection) = match point {
        Some(point) => (format!("--trace={}", point.call), Some(point.injection())),
        None => (format!("--trace={}", calls::all()), None),
    };
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q", "-y", "--detach-on=execve", "-o", log, &trace]).args(injection);
    strace.arg("-p").arg(pid.to_string()).stdin(Stdio::null()).stderr(Stdio::null());
    let mut tracer = strace.spawn().expect("strace");
    let deadline = Instant::now() + COMMAND_TIMEOUT;
    while Instant::now() < deadline {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let traced = status.lines().any(|line| line == format!("TracerPid:\t{}", tracer.id()));
        if traced
            && fs::read_to_string(format!("/proc/{pid}/syscall"))
                .is_ok_and(|at| at.starts_with(&format!("{} 0x0 ", libc::SYS_read)))
        {
            return Some(tracer);
        }
        if tracer.try_wait().expect("strace").is_some() {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
    let _ = tracer.kill();
    let _ = tracer.wait();
    None
}
