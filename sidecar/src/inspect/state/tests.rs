mod drops;
mod great;
mod idle;
mod last_words;
mod padded;
mod segments;

use std::net::SocketAddr;

use bytes::BytesMut;
use certs::AuditKey;
use rpyc::brine::{Int, Value};
use rpyc::{Head, Kind, Lane, Next, ObjectId, Threads, frame};

use super::*;
use crate::audit::{Audit, OpenSession};
use crate::config::{AuditConfig, HeadsTo};
use crate::rules::Policy;

/// What may be held of a message here, in bytes.
const HELD: usize = 24 << 20;

const GETROOT: i64 = 3;
const GETATTR: i64 = 4;
const CALL: i64 = 7;
const STR: i64 = 10;
const DEL: i64 = 15;

fn int(value: i64) -> Vec<u8> {
    Value::Int(Int::Small(value)).to_bytes()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Value::Tuple(vec![Value::None; items.len()]).to_bytes();
    out.truncate(out.len() - items.len());
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}

fn boxed(label: i64, value: Vec<u8>) -> Vec<u8> {
    list(&[int(label), value])
}

fn plain(value: &Value<'_>) -> Vec<u8> {
    boxed(1, value.to_bytes())
}

/// An object of Houdini's, as the client (3) or Houdini (4) refers to it.
fn object(label: i64, name: &str, id: i64) -> Vec<u8> {
    let name = Value::Str(name).to_bytes();
    boxed(label, list(&[name, int(1000 + id), int(id)]))
}

fn request(seq: i64, handler: i64, args: &[Vec<u8>]) -> Vec<u8> {
    let args = match args {
        [] => arguments(&[]),
        args => boxed(2, list(args)),
    };
    list(&[int(1), int(seq), list(&[int(handler), args])])
}

fn reply(seq: i64, result: Vec<u8>) -> Vec<u8> {
    list(&[int(2), int(seq), result])
}

fn arguments(values: &[Value<'_>]) -> Vec<u8> {
    plain(&Value::Tuple(values.to_vec()))
}

/// A session, and what comes out of it.
struct Session {
    inspector: Inspector,
    rules: Arc<Live>,
    lanes: [Lane; 2],
    out: Out,
    seq: i64,
    _record: OpenSession,
    _folder: tempfile::TempDir,
}

impl Session {
    /// In a role of a policy with this text.
    async fn new(policy: &str, role: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = AuditConfig {
            heads: HeadsTo::Nowhere,
            ..AuditConfig::default()
        };
        let audit = Audit::open(folder.path(), config, AuditKey::ephemeral().unwrap()).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let Ok(record) = audit.attempt(address).open(false).await else {
            panic!("the audit is there")
        };
        let policy = Policy::parse(policy).unwrap();
        let role = policy.role(role).unwrap();
        let rules = Arc::new(Live::new(policy));
        let who = Who {
            identity: "alice".into(),
            role: role.as_str().into(),
            rules: rules.clone(),
        };
        let calls = record.calls();
        Self {
            inspector: Inspector::new(who, &role, rules.clone(), calls, HELD),
            rules,
            lanes: [Lane::new(WHOLE), Lane::new(WHOLE)],
            out: Out::default(),
            seq: -1,
            _record: record,
            _folder: folder,
        }
    }

    async fn give(&mut self, from: Side, payload: &[u8]) {
        self.send(from, &frame::encode(payload)).await.unwrap();
    }

    /// A side sends bytes of frames.
    async fn send(&mut self, from: Side, bytes: &[u8]) -> Result<(), Stop> {
        let lane = &mut self.lanes[from as usize];
        lane.input.extend_from_slice(bytes);
        loop {
            match self.inspector.pump(from, lane, &mut self.out)? {
                Want::Bytes => return Ok(()),
                Want::Turn => {}
                Want::Slot => {
                    let slot = self.inspector.calls().reserve().await.unwrap();
                    self.inspector.take_slot(slot);
                }
            }
        }
    }

    /// The script asks. Gives the number.
    async fn asks(&mut self, handler: i64, args: &[Vec<u8>]) -> i64 {
        let asked = self.request(handler, args);
        self.give(Side::Client, &asked).await;
        self.seq
    }

    /// The next request of the script, which has the number `seq` then.
    fn request(&mut self, handler: i64, args: &[Vec<u8>]) -> Vec<u8> {
        self.seq += 1;
        request(self.seq, handler, args)
    }

    async fn answers(&mut self, seq: i64, result: Vec<u8>) {
        self.give(Side::Server, &reply(seq, result)).await;
    }

    async fn call(&mut self, handler: i64, args: &[Vec<u8>], result: Vec<u8>) {
        let seq = self.asks(handler, args).await;
        assert_eq!(self.went_on(), [seq]);
        self.answers(seq, result).await;
        assert_eq!(self.came_back().len(), 1);
    }

    /// The numbers of the requests that went on since the last time.
    fn went_on(&mut self) -> Vec<i64> {
        heads(&mut self.out.to_houdini.ready)
            .iter()
            .map(|head| head.seq as i64)
            .collect()
    }

    fn came_back(&mut self) -> Vec<Head> {
        heads(&mut self.out.to_client.ready)
    }

    /// The numbers of the requests that are answered when it ends for this.
    fn last_words(&self, stop: &Stop) -> Vec<i64> {
        let lane = &self.lanes[Side::Client as usize];
        let said = self.inspector.last_words(stop, lane, &self.out);
        let said = heads(&mut BytesMut::from(&said[..]));
        said.iter().map(|head| head.seq as i64).collect()
    }

    /// In a built-in role.
    async fn of(role: &str) -> Self {
        Self::new("", role).await
    }

    /// A method of a node, with the id 6.
    async fn method(self) -> Self {
        let mut session = self;
        let service = "rpyc.core.service.SlaveService";
        let (root, getmodule) = (object(3, service, 1), object(3, "builtins.method", 2));
        let text = |text| plain(&Value::Str(text));
        let nothing = || arguments(&[]);
        session.call(GETROOT, &[], object(4, service, 1)).await;
        let got = object(4, "builtins.method", 2);
        session.call(GETATTR, &[root, text("getmodule")], got).await;
        let args = [getmodule, arguments(&[Value::Str("hou")]), nothing()];
        session
            .call(CALL, &args, object(4, "builtins.module", 3))
            .await;
        let hou = object(3, "builtins.module", 3);
        let node = object(4, "builtins.function", 4);
        session.call(GETATTR, &[hou, text("node")], node).await;
        let path = arguments(&[Value::Str("/obj/a")]);
        let args = [object(3, "builtins.function", 4), path, nothing()];
        session.call(CALL, &args, object(4, "hou.ObjNode", 5)).await;
        session.fetches().await;
        session
    }

    async fn fetches(&mut self) {
        let args = [object(3, "hou.ObjNode", 5), plain(&Value::Str("path"))];
        self.call(GETATTR, &args, object(4, METHOD, 6)).await;
    }

    async fn calls_it(&mut self) -> i64 {
        let args = [object(3, METHOD, 6), arguments(&[]), arguments(&[])];
        self.asks(CALL, &args).await
    }

    async fn drops_it(&mut self, count: i64) -> i64 {
        let count = plain(&Value::Int(Int::Small(count)));
        self.asks(DEL, &[object(3, METHOD, 6), count]).await
    }
}

const METHOD: &str = "builtins.method";

fn heads(bytes: &mut BytesMut) -> Vec<Head> {
    let mut lane = Lane::new(WHOLE);
    lane.input = std::mem::take(bytes);
    let mut heads = Vec::new();
    while let Next::Whole(whole) = lane.cut().unwrap() {
        heads.push(whole.frame().head().unwrap());
    }
    assert!(lane.is_empty());
    heads
}

fn none() -> Vec<u8> {
    plain(&Value::None)
}
