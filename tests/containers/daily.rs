//! The commands of every day, with either shim: each from a process of its own, while the container runs
//! and after it has ended.

use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dunnage_tests::binary::{Outcome, run, through};
use dunnage_tests::containers::{Base, Node, each_shim};
use serde_json::Value;

/// Starts a container that stays.
fn detached(node: &Node, id: &str, script: &str, more: &[&str]) -> Value {
    let options: Vec<_> = ["--detach", "-o", "json"].into_iter().chain(more.iter().copied()).collect();
    run(&mut node.command(Base::Plain, id, &["/bin/sh", "-c", script], &options), []).expect(0).json()
}

/// Waits until a command prints what is awaited.
#[track_caller]
fn until(node: &Node, arguments: &[&str], awaited: &str) -> Outcome {
    let started = Instant::now();
    loop {
        let outcome = node.dunnage(arguments.iter().copied());
        if outcome.stdout.contains(awaited) {
            return outcome;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{arguments:?}: no {awaited:?} in {outcome:?}");
        sleep(Duration::from_millis(20));
    }
}

fn status(node: &Node, id: &str) -> Value {
    node.dunnage(["inspect", id, "-o", "json"]).expect(0).json()
}

/// The ends of a container's init on record.
fn exits(node: &Node, id: &str) -> Vec<Value> {
    let outcome = node.dunnage(["events", "--filter", "topic=exit", "--filter", &format!("id={id}")]).expect(0);
    outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn kill(pid: &Value) {
    let pid = pid.as_i64().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_another_process_runs_in_a_container() {
    each_shim("privileged_another_process_runs_in_a_container", |node| {
        detached(node, "c1", "exec sleep 1000", &[]);
        let exec = |arguments: &[&str], input: &str| {
            let all = ["exec"].iter().chain(arguments).copied();
            run(&mut node.scratch.command(all), input)
        };
        assert_eq!(exec(&["c1", "--", "echo", "hi"], "").expect(0).stdout, "hi\n");
        exec(&["c1", "--", "sh", "-c", "exit 7"], "").expect(7);
        exec(&["c1", "--", "sh", "-c", "kill -9 $$"], "").expect(137);
        assert_eq!(exec(&["-i", "c1", "--", "cat"], "piped").expect(0).stdout, "piped");
        // Without --interactive there is no input.
        assert_eq!(exec(&["c1", "--", "cat"], "piped").expect(0).stdout, "");
        let script = "echo $A; pwd; id -u; id -g; echo err >&2";
        let arguments = ["c1", "-e", "A=b c", "--cwd", "/bin", "--user", "5:6", "--", "sh", "-c", script];
        let outcome = exec(&arguments, "").expect(0);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("b c\n/bin\n5\n6\n", "err\n"));
        let process = node.scratch.path().join("process.json");
        fs::write(&process, r#"{"args":["/bin/echo","whole"],"cwd":"/","user":{"uid":0,"gid":0}}"#).unwrap();
        let process = process.to_str().unwrap();
        assert_eq!(exec(&["c1", "--process", process], "").expect(0).stdout, "whole\n");
        // A terminal, with and without input.
        assert_eq!(exec(&["-t", "c1", "--", "sh", "-c", "tty >/dev/null && echo tty"], "").expect(0).stdout, "tty\r\n");
        assert!(exec(&["-it", "c1", "--", "cat"], "line\n").expect(0).stdout.ends_with("line\r\nline\r\n"));
        // What cannot be started.
        let failed = exec(&["c1", "--", "/no/such/program"], "").expect(125);
        assert!(failed.stderr.contains("/no/such/program") && !failed.stderr.contains("UNKNOWN"), "{failed:?}");
        for bad in ["x/y", "../x", ".x", ""] {
            exec(&["c1", "--exec-id", bad, "--", "true"], "").expect(3);
            exec(&["c1", "--detach", "--exec-id", bad, "--", "true"], "").expect(3);
        }
        exec(&["nope", "--", "true"], "").expect(5);
        exec(&["c1"], "").expect(2);
        // Left running: known by its id.
        let started =
            exec(&["--detach", "c1", "--exec-id", "job", "-o", "json", "--", "sleep", "1000"], "").expect(0).json();
        assert_eq!(started["exec_id"], "job");
        let listed = node.dunnage(["ps", "c1", "-o", "json"]).expect(0).json();
        let job = listed.as_array().unwrap().iter().find(|process| process["pid"] == started["pid"]).expect("the job");
        assert_eq!(job["command"], "sleep 1000");
        exec(&["c1", "--exec-id", "job", "--", "true"], "").expect(4);
        node.dunnage(["kill", "c1", "KILL", "--exec", "job"]).expect(0);
        until(node, &["events", "--filter", "id=job"], "\"exit_status\":137");
        node.dunnage(["kill", "c1", "--exec", "unknown"]).expect(6);
        node.dunnage(["delete", "c1", "--force"]).expect(0);
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_container_is_stopped_waited_for_and_deleted() {
    each_shim("privileged_a_container_is_stopped_waited_for_and_deleted", |node| {
        let started = detached(node, "c1", "trap 'exit 3' TERM; while :; do sleep 0.1; done", &[]);
        assert_eq!(status(node, "c1")["pid"], started["pid"]);
        let mut waiting = node.scratch.command(["wait", "c1"]).stdout(Stdio::piped()).spawn().expect("wait");
        sleep(Duration::from_millis(300));
        assert!(waiting.try_wait().unwrap().is_none());
        let failed = node.dunnage(["delete", "c1"]).expect(6);
        assert!(failed.stderr.contains("still running"), "{failed:?}");
        node.dunnage(["stop", "c1"]).expect(0);
        assert_eq!(printed(waiting), "3\n");
        // After the fact, as often as one likes.
        assert_eq!(node.dunnage(["wait", "c1", "-o", "json"]).expect(0).json()["exit_code"], 3);
        let found = status(node, "c1");
        assert_eq!(
            (&found["status"], &found["exit_code"], &found["pid"]),
            (&"stopped".into(), &3.into(), &Value::Null)
        );
        assert!(found["started"].is_string() && found["ended"].is_string(), "{found}");
        for arguments in
            [&["kill", "c1"][..], &["stop", "c1"], &["exec", "c1", "--", "true"], &["pause", "c1"], &["ps", "c1"]]
        {
            let failed = node.dunnage(arguments.iter().copied()).expect(6);
            assert!(failed.stderr.contains("has ended"), "{failed:?}");
        }
        // No force is needed: nothing would be lost.
        node.dunnage(["delete", "c1"]).expect(0);
        node.expect_nothing_left();
        // One that does not listen is killed.
        detached(node, "c2", "trap '' TERM; while :; do sleep 0.1; done", &[]);
        node.dunnage(["stop", "c2", "--timeout", "1"]).expect(0);
        assert_eq!(node.dunnage(["wait", "c2"]).expect(0).stdout, "137\n");
        node.dunnage(["delete", "c2"]).expect(0);
        node.expect_nothing_left();
    });
}

fn printed(child: Child) -> String {
    let output = child.wait_with_output().expect("the end");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_signals_are_named_and_limits_changed() {
    each_shim("privileged_signals_are_named_and_limits_changed", |node| {
        let script = "trap 'echo usr1' USR1; trap 'echo winch' WINCH; echo ready; while :; do sleep 0.05; done";
        detached(node, "c1", script, &[]);
        until(node, &["logs", "c1"], "ready");
        node.dunnage(["kill", "c1", "SIGUSR1"]).expect(0);
        until(node, &["logs", "c1"], "usr1");
        for wrong in ["FOO", "0", "65"] {
            let failed = node.dunnage(["kill", "c1", wrong]).expect(2);
            assert!(failed.stderr.contains("there is no signal"), "{failed:?}");
        }
        node.dunnage(["pause", "c1"]).expect(0);
        assert_eq!(status(node, "c1")["status"], "paused");
        node.dunnage(["pause", "c1"]).expect(6);
        node.dunnage(["resume", "c1"]).expect(0);
        assert_eq!(status(node, "c1")["status"], "running");
        let resources = node.scratch.path().join("resources.json");
        fs::write(&resources, r#"{"pids":{"limit":77}}"#).unwrap();
        node.dunnage(["update", "c1", "--resources", resources.to_str().unwrap()]).expect(0);
        let pid = status(node, "c1")["pid"].clone();
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let below =
            cgroups.lines().find_map(|line| line.split_once(":pids:").or_else(|| line.split_once("::"))).unwrap().1;
        let limits =
            ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(|at| fs::read_to_string(format!("{at}{below}/pids.max")));
        assert!(limits.iter().flatten().any(|limit| limit.trim() == "77"), "{below}: {limits:?}");
        fs::write(&resources, "{").unwrap();
        node.dunnage(["update", "c1", "--resources", resources.to_str().unwrap()]).expect(3);
        node.dunnage(["update", "c1", "--resources", "/no/such/file"]).expect(1);
        node.dunnage(["kill", "c1", "KILL", "--all"]).expect(0);
        assert_eq!(node.dunnage(["wait", "c1"]).expect(0).stdout, "137\n");
        node.dunnage(["delete", "c1"]).expect(0);
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_the_output_of_a_detached_container_is_kept() {
    each_shim("privileged_the_output_of_a_detached_container_is_kept", |node| {
        detached(node, "c1", "echo out; echo err >&2; printf 'no end'; sleep 0.3; echo; echo last; sleep 1000", &[]);
        let outcome = until(node, &["logs", "c1"], "last");
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\nno end\nlast\n", "err\n"));
        assert_eq!(node.dunnage(["logs", "c1", "--tail", "1"]).expect(0).stdout, "last\n");
        assert_eq!(node.dunnage(["logs", "c1", "--tail", "4"]).expect(0).stdout, outcome.stdout);
        assert_eq!(node.dunnage(["logs", "c1", "--since", "2020-01-01T00:00:00Z"]).expect(0).stdout, outcome.stdout);
        assert_eq!(node.dunnage(["logs", "c1", "--since", "0s"]).expect(0).stdout, "");
        let file = node.scratch.root().join("default/c1/container.log");
        let kept = fs::read_to_string(&file).unwrap();
        assert!(kept.lines().any(|line| line.ends_with(" stdout F out")) && kept.contains(" stderr F err\n"), "{kept}");
        // Followed until the container ends.
        let following = node.scratch.command(["logs", "c1", "--follow"]).stdout(Stdio::piped()).spawn().expect("logs");
        node.dunnage(["exec", "c1", "--", "sh", "-c", "echo from exec >/proc/1/fd/1"]).expect(0);
        until(node, &["logs", "c1"], "from exec");
        node.dunnage(["stop", "c1", "--timeout", "0"]).expect(0);
        assert!(printed(following).ends_with("last\nfrom exec\n"));
        // After its end, as long as its bundle is there.
        assert!(node.dunnage(["logs", "c1"]).expect(0).stdout.ends_with("from exec\n"));
        node.dunnage(["delete", "c1"]).expect(0);
        node.dunnage(["logs", "c1"]).expect(5);
        // In a file of one's own, which is bounded.
        let own = node.scratch.path().join("own.log");
        let options = ["--log-file", own.to_str().unwrap(), "--log-max-size", "64K"];
        detached(
            node,
            "c2",
            "i=0; while [ $i -lt 5000 ]; do echo line $i of a lot; i=$((i+1)); done; echo end; sleep 1000",
            &options,
        );
        until(node, &["logs", "c2"], "end\n");
        let named = node.dunnage(["logs", "c2", "--log-file", own.to_str().unwrap()]).expect(0).stdout;
        assert_eq!(node.dunnage(["logs", "c2"]).expect(0).stdout, named);
        let sizes =
            [own.clone(), node.scratch.path().join("own.log.1")].map(|file| file.metadata().expect("a log").len());
        assert!(sizes.iter().all(|size| *size <= 65 << 10), "{sizes:?}");
        node.dunnage(["delete", "c2", "--force"]).expect(0);
        // It outlives the container.
        assert_eq!(node.dunnage(["logs", "c2", "--log-file", own.to_str().unwrap()]).expect(0).stdout, named);
        node.dunnage(["logs", "c2"]).expect(5);
        // What does not fit is lost in whole lines.
        let script = "i=0; while [ $i -lt 5000 ]; do echo line $i of a lot; i=$((i+1)); done; echo end";
        let options = ["--detach", "--log-file", own.to_str().unwrap()];
        let command = node.command(Base::Plain, "c4", &["/bin/sh", "-c", script], &options);
        run(&mut through("prlimit", ["--fsize=65536:65536"], &command), []).expect(0);
        node.dunnage(["wait", "c4"]).expect(0);
        let lines = || fs::read_to_string(&own).unwrap();
        sleep(Duration::from_millis(500));
        assert!((1..=64 << 10).contains(&lines().len()) && lines().ends_with('\n'), "{}", lines().len());
        // Pieces of a line that was read half are lines too.
        assert!(lines().lines().all(|line| line.matches(" stdout ").count() == 1), "{}", lines());
        node.dunnage(["delete", "c4"]).expect(0);
        // What is not a file of ours is not moved out of the way.
        let planted = node.scratch.path().join("planted.log");
        fs::create_dir(&planted).unwrap();
        let options = ["--detach", "--log-file", planted.to_str().unwrap()];
        let failed = run(&mut node.command(Base::Plain, "c3", &["/bin/true"], &options), []).expect(125);
        assert!(failed.stderr.contains("cannot be a log"), "{failed:?}");
        assert!(planted.is_dir() && !node.scratch.path().join("planted.log.1").exists());
        fs::remove_dir(&planted).unwrap();
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_detached_container_is_attached_to() {
    each_shim("privileged_a_detached_container_is_attached_to", |node| {
        detached(node, "c1", "while read line; do echo got $line; done; exit 4", &["--interactive"]);
        let outcome = run(&mut node.scratch.command(["attach", "c1"]), "one\ntwo\n").expect(4);
        assert_eq!(outcome.stdout, "got one\ngot two\n");
        node.dunnage(["delete", "c1"]).expect(0);
        // A request to end leaves the container to itself.
        detached(node, "c2", "while :; do echo tick; sleep 0.05; done", &[]);
        let attached =
            node.scratch.command(["attach", "c2"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("attach");
        sleep(Duration::from_millis(500));
        let pid = rustix::process::Pid::from_child(&attached);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
        let output = attached.wait_with_output().expect("the end");
        assert!(output.status.success() && output.stdout.starts_with(b"tick\n"), "{output:?}");
        assert_eq!(status(node, "c2")["status"], "running");
        node.dunnage(["delete", "c2", "--force"]).expect(0);
        // Wherever its output is kept.
        let log = node.scratch.path().join("own.log");
        let options = ["--interactive", "--log-file", log.to_str().unwrap()];
        detached(node, "c3", "while read line; do echo got $line; done; exit 4", &options);
        let outcome = run(&mut node.scratch.command(["attach", "c3"]), "one\n").expect(4);
        assert_eq!(outcome.stdout, "got one\n");
        node.dunnage(["delete", "c3"]).expect(0);
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_the_end_of_a_container_is_told_once_whoever_is_killed() {
    each_shim("privileged_the_end_of_a_container_is_told_once_whoever_is_killed", |node| {
        let script = "sleep 1000";
        // The shim alone.
        let started = detached(node, "c1", script, &[]);
        kill(&started["shim_pid"]);
        node.dunnage(["exec", "c1", "--", "true"]).expect(125);
        node.dunnage(["delete", "c1", "--force"]).expect(0);
        let told = exits(node, "c1");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["exit_status"], &told[0]["pid"]), (&137.into(), &started["pid"]));
        // The shim and its monitor.
        let started = detached(node, "c2", script, &[]);
        let shim = started["shim_pid"].clone();
        let stat = fs::read_to_string(format!("/proc/{shim}/stat")).unwrap();
        let parent: i64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
        kill(&parent.into());
        kill(&shim);
        node.dunnage(["delete", "c2", "--force"]).expect(0);
        assert_eq!(exits(node, "c2").len(), 1);
        // The shim, and then the container: its monitor is its parent by then, and knows how it ended.
        let started = detached(node, "c3", "trap 'exit 9' TERM; while :; do sleep 0.05; done", &[]);
        kill(&started["shim_pid"]);
        sleep(Duration::from_millis(200));
        let pid = rustix::process::Pid::from_raw(i32::try_from(started["pid"].as_i64().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
        assert_eq!(node.dunnage(["wait", "c3"]).expect(0).stdout, "9\n");
        assert_eq!(exits(node, "c3").len(), 1);
        node.dunnage(["delete", "c3", "--force"]).expect(0);
        assert_eq!(exits(node, "c3").len(), 1);
        // Nobody at all, in the foreground and detached.
        node.run(Base::Plain, "c4", &["/bin/sh", "-c", "exit 5"], []).expect(5);
        assert_eq!(exits(node, "c4").len(), 1);
        detached(node, "c5", "exit 6", &[]);
        assert_eq!(node.dunnage(["wait", "c5"]).expect(0).stdout, "6\n");
        node.dunnage(["delete", "c5"]).expect(0);
        let told = exits(node, "c5");
        assert_eq!((told.len(), &told[0]["exit_status"]), (1, &6.into()));
        for topic in ["create", "start", "delete"] {
            let filter = format!("topic={topic}");
            let told = node.dunnage(["events", "--filter", &filter, "--filter", "container_id=c5"]).expect(0).stdout;
            assert_eq!(told.lines().count(), 1, "{topic}: {told}");
        }
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_the_end_is_told_when_the_program_is_gone() {
    each_shim("privileged_the_end_is_told_when_the_program_is_gone", |node| {
        let copy = node.scratch.path().join("dunnage-copy");
        fs::copy(dunnage_tests::binary::path(dunnage_tests::binary::Build::Default), &copy).unwrap();
        let command = node.command(Base::Plain, "c1", &["/bin/sh", "-c", "sleep 1; exit 8"], &["--detach"]);
        let mut own = std::process::Command::new(&copy);
        own.args(command.get_args()).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        run(&mut own, []).expect(0);
        fs::remove_file(&copy).unwrap();
        until(node, &["events", "--filter", "topic=exit"], "\"exit_status\":8");
        sleep(Duration::from_millis(500));
        assert_eq!(exits(node, "c1").len(), 1);
        node.dunnage(["delete", "c1"]).expect(0);
        assert_eq!(exits(node, "c1").len(), 1);
        node.expect_nothing_left();
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_a_bundle_is_started_again_and_replaced() {
    each_shim("privileged_a_bundle_is_started_again_and_replaced", |node| {
        node.create("c1", &["/bin/sh", "-c", "echo once; exit 2"]);
        let rootfs = node.rootfs(Base::Plain);
        let start = |more: &[&str]| {
            // The options of `run` but for those of its spec.
            let command = node.command(Base::Plain, "c1", &[], more);
            let mut start = node.scratch.command(["start", "c1", "--rootfs"]);
            start.arg(&rootfs).args(command.get_args().skip_while(|argument| *argument != "--runtime-root"));
            start.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            run(&mut start, [])
        };
        start(&[]).expect(0);
        assert_eq!(node.dunnage(["wait", "c1"]).expect(0).stdout, "2\n");
        // Its container has ended, so it can be started again.
        start(&[]).expect(0);
        assert_eq!(node.dunnage(["wait", "c1"]).expect(0).stdout, "2\n");
        assert_eq!(exits(node, "c1").len(), 2);
        let failed = node.command(Base::Plain, "c1", &["/bin/true"], &[]).output().unwrap();
        assert_eq!(failed.status.code(), Some(125));
        run(&mut node.command(Base::Plain, "c1", &["/bin/sleep", "1000"], &["--replace", "--detach"]), []).expect(0);
        start(&[]).expect(6);
        assert_eq!(status(node, "c1")["status"], "running");
        // Not even one that has lost its shim is touched by what is refused.
        kill(&status(node, "c1")["shim_pid"]);
        start(&[]).expect(6);
        assert_eq!(status(node, "c1")["status"], "running");
        run(&mut node.command(Base::Plain, "c1", &["/bin/echo", "new"], &["--replace", "--rm"]), []).expect(0);
        node.expect_nothing_left();
        node.dunnage(["start", "nope", "--rootfs", "/"]).expect(5);
    });
}

#[test]
#[cfg_attr(not(has_containers), ignore = "needs root, containerd, runc and busybox-static")]
fn privileged_memory_that_ran_out_is_told() {
    each_shim("privileged_memory_that_ran_out_is_told", |node| {
        let script = "sleep 0.5; x=x; while :; do x=$x$x$x; done";
        let spec = node.spec(Base::Plain, "c1", &["/bin/sh", "-c", script], false);
        let mut changed: Value = serde_json::from_slice(&fs::read(&spec).unwrap()).unwrap();
        changed["linux"]["resources"]["memory"] = serde_json::json!({"limit": 16 << 20, "swap": 16 << 20});
        fs::write(&spec, changed.to_string()).unwrap();
        run(&mut node.command_of(Base::Plain, "c1", &spec, &["--detach"]), []).expect(0);
        assert_eq!(node.dunnage(["wait", "c1"]).expect(0).stdout, "137\n");
        if std::path::Path::new("/sys/fs/cgroup/memory").is_dir() {
            until(node, &["events", "--filter", "topic=oom"], "\"container_id\":\"c1\"");
        }
        node.dunnage(["delete", "c1"]).expect(0);
        node.expect_nothing_left();
    });
}
