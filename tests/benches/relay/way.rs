//! The ways from a script to Houdini that are measured against each other.
//!
//! A further one, such as another program that does TLS, is a further [`Way`] in
//! [`Site::ways`].

use std::net::SocketAddr;

use e2e::forge::client::{Client, hello};
use e2e::forge::enrol::join;
use e2e::programs::{Agent, Failure, Guard, Result, Trial};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Any connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// One way to Houdini.
pub(crate) struct Way {
    /// As it is called in the tables.
    pub(crate) name: String,
    reach: Reach,
    /// The processes on the way, by what they are called in the tables.
    pub(crate) processes: Vec<(&'static str, u32)>,
}

/// How a way is entered.
enum Reach {
    /// With bare TCP.
    Tcp(SocketAddr),
    /// With TLS and a hello, as the agent does it.
    Guard(Client, Vec<u8>),
}

impl Way {
    /// Without anything in between.
    pub(crate) fn direct(houdini: SocketAddr) -> Self {
        Self {
            name: "direct".into(),
            reach: Reach::Tcp(houdini),
            processes: Vec::new(),
        }
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> Box<dyn Stream> {
        match &self.reach {
            Reach::Tcp(address) => {
                let tcp = TcpStream::connect(address).await.expect("it listens");
                tcp.set_nodelay(true).expect("a socket");
                Box::new(tcp)
            }
            Reach::Guard(client, hello) => {
                let session = client.open(hello).await;
                let session = session.unwrap_or_else(|other| panic!("not let in: {other:?}"));
                let (tcp, _) = session.stream.get_ref();
                tcp.set_nodelay(true).expect("a socket");
                Box::new(session.stream)
            }
        }
    }

    /// The address, for programs that enter it by bare TCP.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self.reach {
            Reach::Tcp(address) => Some(address),
            Reach::Guard(..) => None,
        }
    }
}

/// The roles that are compared: name, grant, and whether the guard looks at each message.
const POLICY: &str = r#"
[role.opaque]
extends = "full"
inspect = "off"

[role.narrow]
extends = "read-numeric"

[[role.narrow.rule]]
name = "set-text"
allow = ["hou.Parm.set"]
args = [{ type = ["number", "string"] }]
"#;

/// What a way is called on which the guard looks at no message.
pub(crate) const OPAQUE: &str = "bytes as they are";

/// The roles, in the order of the tables.
pub(crate) const ROLES: [&str; 3] = ["opaque", "full", "narrow"];

/// One guard, with somebody in each role.
pub(crate) struct Site {
    /// The guard's process.
    pub(crate) guard: Guard,
    agents: Vec<Agent>,
    ways: Vec<Way>,
    /// Whom all of it belongs to; goes last.
    trial: Trial,
}

impl Site {
    /// Starts a guard in front of a Houdini. `agents` says whether everybody also has an
    /// agent.
    ///
    /// # Errors
    /// When a program does not start.
    pub(crate) async fn start(houdini: SocketAddr, with_agents: bool) -> Result<Self> {
        let trial = Trial::new()?;
        let policy = trial.folder().join("policy.toml");
        let config = trial.folder().join("guard.toml");
        let limits = "[limits]\nsessions_per_identity = 4096\nsessions_per_address = 4096\n";
        for (path, text) in [(&policy, POLICY), (&config, limits)] {
            std::fs::write(path, text).map_err(|e| Failure::io(path.display(), &e))?;
        }
        let (policy, config) = (policy.display().to_string(), config.display().to_string());
        let extra = ["--policy", &policy, "--config", &config];
        let guard = trial.start_guard(&houdini.to_string(), &extra)?;
        let mut site = Self {
            agents: Vec::new(),
            ways: Vec::new(),
            guard,
            trial,
        };
        for role in ROLES {
            site.admit(role).await?;
        }
        if with_agents {
            for role in ROLES {
                site.equip(role)?;
            }
        }
        Ok(site)
    }

    /// The ways through this guard.
    pub(crate) fn ways(&self) -> &[Way] {
        &self.ways
    }

    /// Somebody who speaks TLS without an agent.
    async fn admit(&mut self, role: &str) -> Result<()> {
        let code = self.invite(role, role)?;
        let code = code.parse().expect("an invite");
        let member = join(self.guard.address, &code).await;
        self.ways.push(Way {
            name: format!("guard, {}", shown(role)),
            reach: Reach::Guard(
                Client::new(self.guard.address, Some(&member.credentials)),
                hello(&member.token),
            ),
            processes: vec![("guard", self.guard.process.pid())],
        });
        Ok(())
    }

    /// Somebody with an agent.
    fn equip(&mut self, role: &str) -> Result<()> {
        let who = format!("{role}-agent");
        let code = self.invite(&who, role)?;
        self.trial.join(&who, &code)?;
        let agent = self.trial.connect(&who, &[])?;
        self.ways.push(Way {
            name: format!("agent and guard, {}", shown(role)),
            reach: Reach::Tcp(agent.address),
            processes: vec![
                ("guard", self.guard.process.pid()),
                ("agent", agent.process.pid()),
            ],
        });
        self.agents.push(agent);
        Ok(())
    }

    fn invite(&self, who: &str, role: &str) -> Result<String> {
        let guard = self.guard.address.to_string();
        let args = ["invite", who, "--role", role, "--guard", &guard];
        let printed = self.trial.certs(&args)?;
        let code = printed["code"].as_str().map(str::to_owned);
        code.ok_or_else(|| Failure::new(format!("the invite has no code: {printed}")))
    }
}

fn shown(role: &str) -> &str {
    match role {
        "opaque" => OPAQUE,
        "full" => "inspected, full",
        _ => "inspected, narrow",
    }
}
