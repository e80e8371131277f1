use std::net::SocketAddr;

use certs::AuditKey;
use rpyc::brine::{Int, Value};
use rpyc::{Kind, Threads};

use super::*;
use crate::audit::{Audit, OpenSession};
use crate::config::{AuditConfig, HeadsTo};
use crate::rules::Policy;

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

fn arguments(values: &[Value<'_>]) -> Vec<u8> {
    plain(&Value::Tuple(values.to_vec()))
}

/// A session in a narrow role, and what comes out of it.
struct Session {
    inspector: Inspector,
    lanes: [Lane; 2],
    out: Out,
    seq: i64,
    _record: OpenSession,
    _folder: tempfile::TempDir,
}

impl Session {
    async fn new() -> Self {
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
        let policy = Policy::built_in();
        let role = policy.role("read-numeric").unwrap();
        let who = Who {
            identity: "alice".into(),
            role: "read-numeric".into(),
            contact: None,
        };
        let rules = Arc::new(Live::new(policy));
        let calls = record.calls();
        Self {
            inspector: Inspector::new(who, &role, rules, calls, None, 16 << 20),
            lanes: [Lane::new(WHOLE), Lane::new(WHOLE)],
            out: Out::default(),
            seq: -1,
            _record: record,
            _folder: folder,
        }
    }

    async fn give(&mut self, from: Side, payload: &[u8]) {
        let lane = &mut self.lanes[from as usize];
        lane.input.extend_from_slice(&frame::encode(payload));
        loop {
            match self.inspector.pump(from, lane, &mut self.out).unwrap() {
                Want::Bytes => return,
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
        self.seq += 1;
        let args = match args {
            [] => arguments(&[]),
            args => boxed(2, list(args)),
        };
        let request = list(&[int(1), int(self.seq), list(&[int(handler), args])]);
        self.give(Side::Client, &request).await;
        self.seq
    }

    async fn answers(&mut self, seq: i64, result: Vec<u8>) {
        let reply = list(&[int(2), int(seq), result]);
        self.give(Side::Server, &reply).await;
    }

    async fn call(&mut self, handler: i64, args: &[Vec<u8>], result: Vec<u8>) {
        let seq = self.asks(handler, args).await;
        assert_eq!(self.went_on(), [seq]);
        self.answers(seq, result).await;
        assert_eq!(self.came_back().len(), 1);
    }

    /// The numbers of the requests that went on since the last time.
    fn went_on(&mut self) -> Vec<i64> {
        heads(&mut self.out.to_houdini)
            .iter()
            .map(|head| head.seq as i64)
            .collect()
    }

    fn came_back(&mut self) -> Vec<Head> {
        heads(&mut self.out.to_client)
    }

    /// A method of a node, with the id 6.
    async fn method() -> Self {
        let mut session = Self::new().await;
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

#[tokio::test]
async fn the_last_drop_waits_for_the_requests_that_name_its_object() {
    let mut session = Session::method().await;
    let first = session.calls_it().await;
    let second = session.asks(STR, &[object(3, METHOD, 6)]).await;
    assert_eq!(session.went_on(), [first, second]);
    let dropped = session.drops_it(1).await;
    // What names another object goes on, and what names this one is denied.
    let other = session.asks(STR, &[object(3, "hou.ObjNode", 5)]).await;
    assert_eq!(session.went_on(), [other]);
    assert!(session.came_back().is_empty());
    let denied = session.calls_it().await;
    assert!(session.went_on().is_empty());
    let [told] = session.came_back()[..] else {
        panic!()
    };
    assert_eq!((told.kind, told.seq as i64), (Kind::Exception, denied));

    session
        .answers(second, plain(&Value::Str("<bound method>")))
        .await;
    session.answers(other, plain(&Value::Str("a"))).await;
    assert!(session.went_on().is_empty());
    session.answers(first, plain(&Value::Str("/obj/a"))).await;
    assert_eq!(session.went_on(), [dropped]);
    assert_eq!(session.came_back().len(), 3);
    session.answers(dropped, none()).await;
    let [told] = session.came_back()[..] else {
        panic!()
    };
    assert_eq!((told.kind, told.seq as i64), (Kind::Reply, dropped));
}

#[tokio::test]
async fn a_drop_that_is_not_the_last_one_waits_for_nothing() {
    let mut session = Session::method().await;
    session.fetches().await;
    let open = session.calls_it().await;
    let first = session.drops_it(1).await;
    assert_eq!(session.went_on(), [open, first]);
    let last = session.drops_it(1).await;
    assert!(session.went_on().is_empty());
    // The answer to the first one says nothing of the call.
    session.answers(first, none()).await;
    assert!(session.went_on().is_empty());
    session.answers(open, plain(&Value::Str("/obj/a"))).await;
    assert_eq!(session.went_on(), [last]);
}

#[tokio::test]
async fn an_object_that_is_given_out_again_meanwhile_is_the_same_one() {
    let mut session = Session::method().await;
    let open = session.calls_it().await;
    let dropped = session.drops_it(1).await;
    assert_eq!(session.went_on(), [open]);
    let args = [object(3, "hou.ObjNode", 5), plain(&Value::Str("path"))];
    let fetched = session.asks(GETATTR, &args).await;
    assert_eq!(session.went_on(), [fetched]);
    session.answers(fetched, object(4, METHOD, 6)).await;
    // Houdini counts two, of which one is dropped: nobody has to wait for that.
    assert_eq!(session.went_on(), [dropped]);
    // And it may be called as before.
    let again = session.calls_it().await;
    assert_eq!(session.went_on(), [again]);
    let last = session.drops_it(1).await;
    session.answers(open, none()).await;
    assert!(session.went_on().is_empty());
    session.answers(again, none()).await;
    assert_eq!(session.went_on(), [last]);
}

#[tokio::test]
async fn a_great_answer_is_kept_back_and_lets_a_drop_go_on() {
    let mut session = Session::method().await;
    let open = session.calls_it().await;
    let dropped = session.drops_it(1).await;
    assert_eq!(session.went_on(), [open]);
    // Small on its way, and great once it is inflated.
    session
        .answers(open, plain(&Value::Bytes(&vec![0; 20 << 20])))
        .await;
    let [told] = session.came_back()[..] else {
        panic!()
    };
    assert_eq!((told.kind, told.seq as i64), (Kind::Exception, open));
    assert_eq!(session.went_on(), [dropped]);
}

#[tokio::test]
async fn an_answer_that_is_kept_back_names_the_thread_that_asked() {
    let mut session = Session::new().await;
    let bound = |sender: u64, receiver: u64, message: Vec<u8>| {
        [&sender.to_be_bytes()[..], &receiver.to_be_bytes(), &message].concat()
    };
    let asked = list(&[int(1), int(0), list(&[int(GETROOT), arguments(&[])])]);
    session.give(Side::Client, &bound(7, 0, asked)).await;
    let great = plain(&Value::Bytes(&vec![0; 20 << 20]));
    let reply = list(&[int(2), int(0), great]);
    session.give(Side::Server, &bound(9, 7, reply)).await;
    let [told] = session.came_back()[..] else {
        panic!()
    };
    let (sender, receiver) = (9, 7);
    assert_eq!(told.threads, Some(Threads { sender, receiver }));
}
