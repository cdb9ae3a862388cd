//! What the kernel says about the process of every command: `/proc/PID/status`.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use dunnage_tests::{Scratch, privileges, run, specs, strace};

const CHOWN: u64 = 1;
const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
const FOWNER: u64 = 1 << 3;

/// Every command that confines itself, and the capabilities that it keeps. (For `run` and
/// `shim start` see the tests with containers; `bench run` and `completions` read nothing.)
const COMMANDS: [(&str, u64); 20] = [
    ("gid --spec SPEC", 0),
    ("create web-1 --spec SPEC", CHOWN | DAC_OVERRIDE),
    ("create web-2 --spec SPEC --durable", CHOWN | DAC_OVERRIDE),
    ("list", DAC_READ_SEARCH),
    ("list -A --status", DAC_READ_SEARCH),
    ("inspect web-1", DAC_READ_SEARCH),
    ("shim address web-1", 0),
    ("shim config web-1", 0),
    ("shim connect-address web-1", DAC_READ_SEARCH),
    ("shim info web-1", DAC_READ_SEARCH),
    ("shim info web-1 --allow-legacy", DAC_READ_SEARCH),
    ("shim stop web-1", DAC_READ_SEARCH),
    ("events", DAC_READ_SEARCH),
    ("publish --topic /tasks/exit", 0),
    ("policy inspect", 0),
    ("policy verify", 0),
    ("bench gid --spec SPEC --count 2", 0),
    ("bench cycle --spec SPEC --count 2", CHOWN | DAC_OVERRIDE | FOWNER),
    ("recover", CHOWN | DAC_OVERRIDE | FOWNER),
    ("delete web-1 web-2", DAC_OVERRIDE | FOWNER),
];

fn status(pid: &str) -> BTreeMap<String, String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let fields = status.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

fn children(pid: &str) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(str::to_owned).collect()
}

/// The last that was seen of a process and of its children. It waits a moment before it ends.
fn last_seen(
    command: &Command,
    who: impl FnOnce(&mut Command),
) -> (BTreeMap<String, String>, Vec<BTreeMap<String, String>>) {
    let options = ["-o", "/dev/null", "--trace=exit_group", "--inject=exit_group:delay_enter=200000"];
    let mut traced = strace::traced(command, options);
    who(&mut traced);
    let mut strace = traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (mut last, mut last_children) = (BTreeMap::new(), Vec::new());
    while strace.try_wait().unwrap().is_none() {
        if let Some(pid) = children(&strace.id().to_string()).first() {
            let (now, now_children) = (status(pid), children(pid));
            if now.get("Name").is_some_and(|name| name.starts_with("dunnage")) && now.contains_key("CapPrm") {
                last = now;
            }
            let seen: Vec<_> = now_children.iter().map(|pid| status(pid)).filter(|child| !child.is_empty()).collect();
            if !seen.is_empty() {
                last_children = seen;
            }
        }
        sleep(Duration::from_millis(2));
    }
    (last, last_children)
}

fn command(scratch: &Scratch, line: &str) -> Command {
    let spec = specs::data("plain.json");
    scratch.command(line.split(' ').map(|word| if word == "SPEC" { spec.to_str().unwrap() } else { word }))
}

fn mask(status: &BTreeMap<String, String>, set: &str) -> u64 {
    u64::from_str_radix(&status[set], 16).unwrap()
}

#[test]
#[cfg_attr(not(all(has_root, has_strace)), ignore = "needs root and strace")]
fn privileged_every_command_gives_up_what_it_does_not_need() {
    let name = "privileged_every_command_gives_up_what_it_does_not_need";
    if !privileges::root(name) || !strace::present(name) {
        return;
    }
    let ours = status("self");
    let scratch = Scratch::new();
    for (line, kept) in COMMANDS {
        let (seen, children) = last_seen(&command(&scratch, line), |_| ());
        for set in ["CapBnd", "CapPrm", "CapEff"] {
            assert_eq!(mask(&seen, set), kept & mask(&ours, set), "{line}: {set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(mask(&seen, set), 0, "{line}: {set}");
        }
        assert_eq!((&*seen["NoNewPrivs"], &*seen["Seccomp"]), ("1", "2"), "{line}");
        // Its broker inherits nothing of that.
        for child in children {
            for field in ["CapBnd", "CapPrm", "CapEff", "NoNewPrivs", "Seccomp"] {
                assert_eq!(child[field], ours[field], "{line}: the broker's {field}");
            }
        }
    }
}

/// Only a command that needs one has a broker: starting one takes time.
#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn one_shot_commands_start_no_process() {
    if !strace::present("one_shot_commands_start_no_process") {
        return;
    }
    let scratch = Scratch::new();
    for (line, _) in COMMANDS {
        let trace = scratch.path().join("trace");
        let options = ["-o", trace.to_str().unwrap(), "--trace=fork,vfork,clone,clone3,execve"];
        run(&mut strace::traced(&command(&scratch, line), options), []);
        let text = fs::read_to_string(&trace).unwrap();
        let forks = text.lines().filter(|line| line.contains("SIGCHLD") && line.contains("clone(")).count();
        let asks = ["delete", "recover", "inspect web", "--status", "info", "stop", "cycle"]
            .iter()
            .any(|word| line.contains(word));
        assert_eq!(forks, usize::from(asks), "{line}: {text}");
        fs::remove_file(&trace).unwrap();
    }
}

#[test]
#[cfg_attr(not(has_strace), ignore = "needs strace")]
fn ordinary_users_are_confined_too() {
    if !strace::present("ordinary_users_are_confined_too") {
        return;
    }
    let scratch = Scratch::new();
    for (line, _) in COMMANDS {
        let (seen, _) = last_seen(&command(&scratch, line), |traced| privileges::as_ordinary_user(&scratch, traced));
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(mask(&seen, set), 0, "{line}: {set}");
        }
        assert_eq!((&*seen["NoNewPrivs"], &*seen["Seccomp"]), ("1", "2"), "{line}");
    }
}
