//! JSON as Go's scanner reads it, into a tree that holds what was read before an error, too.

use dunnage_policy::spec::Fault;

/// A value; others are named by their numbers, so that deep trees need no deep stack.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Text,
    Number(String),
    Array(Vec<usize>),
    Object(Vec<(Vec<char>, usize)>),
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    pub(super) error: Option<Fault>,
    pub(super) lone_surrogate: bool,
}

impl Tree {
    pub(super) fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    pub(super) fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }
}

/// Reads a document.
pub(super) fn read(text: &[u8]) -> Tree {
    let mut reader = Reader { text, at: 0, tree: Tree::default() };
    reader.tree.error = reader.document().err();
    reader.tree
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    tree: Tree,
}

type Step<T> = Result<T, Fault>;

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, expected: &[u8]) -> Step<()> {
        let rest = &self.text[self.at..];
        if !rest.starts_with(expected) {
            return Err(Fault::Syntax);
        }
        self.at += expected.len();
        Ok(())
    }

    fn document(&mut self) -> Step<()> {
        // The arrays and objects that are open, and whether a member or element was read in each.
        let mut open: Vec<(usize, bool)> = Vec::new();
        loop {
            self.space();
            if let Some((container, started)) = open.last().copied() {
                let (is_object, close) = match self.tree.nodes[container] {
                    Node::Object(_) => (true, b'}'),
                    Node::Null | Node::Bool(_) | Node::Text | Node::Number(_) | Node::Array(_) => (false, b']'),
                };
                if self.peek() == Some(close) {
                    self.at += 1;
                    open.pop();
                    if open.is_empty() {
                        break;
                    }
                    continue;
                }
                if started {
                    self.take(b",")?;
                    self.space();
                }
                if let Some(last) = open.last_mut() {
                    last.1 = true;
                }
                let key = if is_object { self.string()? } else { Vec::new() };
                // The key counts even if what follows it is not JSON.
                let child = self.tree.nodes.len();
                self.tree.nodes.push(Node::Null);
                match &mut self.tree.nodes[container] {
                    Node::Object(members) => members.push((key, child)),
                    Node::Array(elements) => elements.push(child),
                    Node::Null | Node::Bool(_) | Node::Text | Node::Number(_) => {}
                }
                if is_object {
                    self.space();
                    self.take(b":")?;
                    self.space();
                }
                if self.value(child)? {
                    open.push((child, false));
                }
            } else {
                self.tree.nodes.push(Node::Null);
                if !self.value(0)? {
                    break;
                }
                open.push((0, false));
            }
            if open.len() > 10_000 {
                return Err(Fault::Depth);
            }
        }
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(Fault::Syntax) }
    }

    /// Reads a value to its place, of an array or object only its bracket; says whether it was one.
    fn value(&mut self, place: usize) -> Step<bool> {
        let node = match self.peek().ok_or(Fault::Syntax)? {
            b'{' => Node::Object(Vec::new()),
            b'[' => Node::Array(Vec::new()),
            b'"' => self.string().map(|_| Node::Text)?,
            b'n' => self.take(b"null").map(|()| Node::Null)?,
            b't' => self.take(b"true").map(|()| Node::Bool(true))?,
            b'f' => self.take(b"false").map(|()| Node::Bool(false))?,
            _ => Node::Number(self.number()?),
        };
        let opened = matches!(node, Node::Object(_) | Node::Array(_));
        self.at += usize::from(opened);
        self.tree.nodes[place] = node;
        Ok(opened)
    }

    fn digits(&mut self) -> Step<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Fault::Syntax) }
    }

    fn number(&mut self) -> Step<String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.text[start..self.at].iter().map(|byte| char::from(*byte)).collect())
    }

    fn string(&mut self) -> Step<Vec<char>> {
        self.take(b"\"")?;
        let mut units: Vec<Unit> = Vec::new();
        loop {
            let byte = self.peek().ok_or(Fault::Syntax)?;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => units.push(self.escape()?),
                0..=0x1f => return Err(Fault::Syntax),
                other => units.push(Unit::Byte(other)),
            }
        }
        Ok(self.decode(&units))
    }

    fn escape(&mut self) -> Step<Unit> {
        let byte = self.peek().ok_or(Fault::Syntax)?;
        self.at += 1;
        Ok(Unit::Byte(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4).ok_or(Fault::Syntax)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Fault::Syntax);
                }
                let digits: String = digits.iter().map(|byte| char::from(*byte)).collect();
                self.at += 4;
                return Ok(Unit::Escape(u16::from_str_radix(&digits, 16).map_err(|_| Fault::Syntax)?));
            }
            _ => return Err(Fault::Syntax),
        }))
    }

    /// Text of what stands in a string; what is not text becomes U+FFFD, as in Go.
    fn decode(&mut self, units: &[Unit]) -> Vec<char> {
        let mut text = Vec::new();
        for run in
            units.chunk_by(|a, b| matches!((a, b), (Unit::Byte(_), Unit::Byte(_)) | (Unit::Escape(_), Unit::Escape(_))))
        {
            let bytes: Vec<u8> =
                run.iter().filter_map(|unit| if let Unit::Byte(byte) = unit { Some(*byte) } else { None }).collect();
            text.extend(String::from_utf8_lossy(&bytes).chars());
            let escapes = run.iter().filter_map(|unit| if let Unit::Escape(unit) = unit { Some(*unit) } else { None });
            for character in char::decode_utf16(escapes) {
                self.tree.lone_surrogate |= character.is_err();
                text.push(character.unwrap_or('\u{fffd}'));
            }
        }
        text
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Byte(u8),
    Escape(u16),
}
