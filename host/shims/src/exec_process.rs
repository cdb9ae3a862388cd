//! The process of an exec, put together from what the caller wants and what the policy found in the spec.

use dunnage_core::{Error, ErrorKind, ProcessParts, Result, Step};
use serde_json::json;

/// A further process of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecOptions {
    /// Its program and arguments.
    pub args: Vec<String>,
    /// Variables that are added to its environment: `NAME=VALUE`.
    pub env: Vec<String>,
    /// Its working directory. Default: that of the container's process.
    pub cwd: Option<String>,
    /// Its user and group. Default: those of the container's process.
    pub user: Option<ExecUser>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// The size of its terminal, in columns and rows. Default: the kernel's, which is none.
    pub terminal_size: Option<(u32, u32)>,
}

/// The user of a further process, by ids of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecUser {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// The process, as JSON of the OCI spec. What the caller wants comes last: of a key that stands twice, the
/// last one counts for runtimes.
///
/// # Errors
///
/// [`ErrorKind::PolicyBroken`] if the policy has named something that is not what it should be.
pub fn process_of(parts: &ProcessParts, options: &ExecOptions) -> Result<Vec<u8>> {
    for part in parts.others.iter().map(|(_, part)| part).chain([&parts.user, &parts.cwd, &parts.env]).flatten() {
        // One that spans several members would bring what nobody has asked for.
        serde_json::from_str::<serde::de::IgnoredAny>(part).map_err(|_| {
            let message = "the policy broke a rule: it named a part of the spec that is not one JSON value";
            Error::new(ErrorKind::PolicyBroken, Step::Decide, message)
        })?;
    }
    let others = parts.others.iter().filter_map(|(key, value)| Some((*key, value.clone()?)));
    let user = options.user.map(|user| json!({ "uid": user.uid, "gid": user.gid }).to_string());
    let user = user.or_else(|| parts.user.clone()).unwrap_or_else(|| json!({ "uid": 0, "gid": 0 }).to_string());
    let cwd = options.cwd.as_ref().map(|cwd| json!(cwd).to_string()).or_else(|| parts.cwd.clone());
    let wanted = [
        ("env", environment(parts.env.as_deref(), &options.env)?),
        ("user", user),
        ("cwd", cwd.unwrap_or_else(|| json!("/").to_string())),
        ("args", json!(options.args).to_string()),
        ("terminal", json!(options.terminal).to_string()),
    ];
    let size = options.terminal_size.filter(|_| options.terminal);
    let size = size.map(|(width, height)| ("consoleSize", json!({ "width": width, "height": height }).to_string()));
    let members: Vec<_> = others.chain(wanted).chain(size).map(|(key, value)| format!("\"{key}\":{value}")).collect();
    Ok(format!("{{{}}}", members.join(",")).into_bytes())
}

/// The environment of the container's process, and more. Of a variable that is there twice the last counts.
fn environment(before: Option<&str>, more: &[String]) -> Result<String> {
    let broken = || {
        let message = "the policy broke a rule: the environment that it named is not an array";
        Error::new(ErrorKind::PolicyBroken, Step::Decide, message)
    };
    let before = before.unwrap_or("[]").trim();
    let inside = before.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(broken)?.trim();
    let more = more.iter().map(|variable| json!(variable).to_string());
    let all: Vec<_> = Some(inside.to_owned()).filter(|inside| !inside.is_empty()).into_iter().chain(more).collect();
    Ok(format!("[{}]", all.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_what_the_container_has_and_what_is_wanted() {
        let mut parts = ProcessParts {
            user: Some(r#"{"uid":7,"gid":8}"#.to_owned()),
            env: Some(r#"[ "A=1" ]"#.to_owned()),
            ..ProcessParts::default()
        };
        parts.others[0] = ("capabilities", Some(r#"{"bounding":["CAP_KILL"]}"#.to_owned()));
        let read = |options: &ExecOptions| -> serde_json::Value {
            serde_json::from_slice(&process_of(&parts, options).unwrap()).unwrap()
        };
        let options = ExecOptions { args: vec!["sh".into(), "-c \"x\"".into()], ..ExecOptions::default() };
        let plain = read(&options);
        assert_eq!(plain["args"], json!(["sh", "-c \"x\""]));
        assert_eq!((&plain["user"]["uid"], &plain["cwd"], &plain["env"]), (&json!(7), &json!("/"), &json!(["A=1"])));
        assert_eq!(plain["capabilities"]["bounding"][0], "CAP_KILL");
        let options = ExecOptions {
            env: vec!["B=\"2".into()],
            cwd: Some("/tmp".into()),
            user: Some(ExecUser { uid: 1, gid: 2 }),
            terminal: true,
            ..options
        };
        let other = read(&options);
        assert_eq!(other["env"], json!(["A=1", "B=\"2"]));
        assert_eq!((&other["user"], &other["cwd"]), (&json!({"uid":1,"gid":2}), &json!("/tmp")));
        assert_eq!(other["terminal"], true);
    }

    #[test]
    fn an_environment_that_is_none_is_refused() {
        for env in ["{}", "\"x\"", "[", "", "[],\"capabilities\":[]"] {
            let parts = ProcessParts { env: Some(env.to_owned()), ..ProcessParts::default() };
            let error = process_of(&parts, &ExecOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PolicyBroken, "{env}");
        }
        assert_eq!(environment(None, &[]).unwrap(), "[]");
    }
}
