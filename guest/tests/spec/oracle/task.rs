//! The rule for what the caller of a shim needs to know. What stands twice is refused whatever it
//! holds, so that merging need not be repeated here.

use dunnage_policy::spec::Fault;

use super::tree::{self, Node};
use super::{Decoder, faults_of_the_text};

/// The classes of refusal that hold for the input, and what it says if there are none: terminal,
/// user and group.
pub(crate) fn rule_task(text: &[u8]) -> (Vec<Fault>, (bool, u32, u32)) {
    let tree = tree::read(text);
    let mut decoder = Decoder { tree: &tree, refusals: Vec::new(), failed: false };
    let mut terminal = false;
    let mut ids = [0; 2];
    let mut lists = [Vec::new(), Vec::new()];
    for (part, value) in tree.root().map(|_| decoder.members(0, &["process", "linux"])).unwrap_or_default() {
        if part == 0 {
            for (field, value) in decoder.members(value, &["terminal", "user"]) {
                if field == 1 {
                    for (field, value) in decoder.members(value, &["uid", "gid"]) {
                        decoder.number(value, &mut ids[field]);
                    }
                    continue;
                }
                match tree.node(value) {
                    Node::Null => {}
                    Node::Bool(value) => terminal = *value,
                    Node::Text | Node::Number(_) | Node::Array(_) | Node::Object(_) => decoder.refuse(Fault::WrongType),
                }
            }
        } else {
            for (list, value) in decoder.members(value, &["uidMappings", "gidMappings"]) {
                match tree.node(value) {
                    Node::Null => {}
                    Node::Array(entries) => lists[list] = entries.iter().map(|entry| decoder.mapping(*entry)).collect(),
                    Node::Bool(_) | Node::Text | Node::Number(_) | Node::Object(_) => decoder.refuse(Fault::WrongType),
                }
            }
        }
    }
    let mut refusals = decoder.refusals;
    refusals.extend(faults_of_the_text(text, &tree));
    let mut hosts = [0; 2];
    for (host, (id, entries)) in hosts.iter_mut().zip(ids.iter().zip(&lists)) {
        match on_host(*id, entries) {
            Some(id) => *host = id,
            None => refusals.push(Fault::UnmappedUser),
        }
    }
    (refusals, (terminal, hosts[0], hosts[1]))
}

/// What runc does, in numbers that cannot overflow.
fn on_host(id: u32, entries: &[[u32; 3]]) -> Option<u32> {
    let id = i128::from(id);
    let host = if entries.is_empty() {
        id
    } else {
        let entries = entries.iter().map(|entry| entry.map(i128::from));
        let [container, host, _] =
            entries.into_iter().find(|[container, _, size]| (*container..container + size).contains(&id))?;
        host + (id - container)
    };
    u32::try_from(host).ok().filter(|id| *id < u32::MAX)
}

impl Decoder<'_> {
    /// The known members of what must be an object, or null.
    fn members(&mut self, value: usize, names: &[&str]) -> Vec<(usize, usize)> {
        match self.tree.node(value) {
            Node::Null => Vec::new(),
            Node::Object(members) => self.known(members, names),
            Node::Bool(_) | Node::Text | Node::Number(_) | Node::Array(_) => {
                self.refuse(Fault::WrongType);
                Vec::new()
            }
        }
    }

    fn mapping(&mut self, entry: usize) -> [u32; 3] {
        let mut fields = [0; 3];
        self.entry(entry, &mut fields);
        fields
    }
}
