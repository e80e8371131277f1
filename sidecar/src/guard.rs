//! What all connections of a guard share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::audit::Audit;
use crate::config::Config;
use crate::limits::{Gate, Renewals};
use crate::ports;
use crate::rules::{Live, Policy};
use crate::sessions::Sessions;
use crate::tls::TlsSettings;
use crate::trust::Trust;
use crate::upstream::{Connection, Families, Houdini};

/// How long an answer about a port's owner is good for.
const OWNER_KNOWN: Duration = Duration::from_secs(5);

/// The state that connections share.
#[derive(Debug)]
pub struct Guard {
    /// Whom to believe.
    pub trust: Arc<Trust>,
    /// The sessions under way.
    pub sessions: Arc<Sessions>,
    /// Turns for those that have not shown who they are.
    pub gate: Gate,
    /// How often who has renewed.
    pub renewals: Renewals,
    /// The audit log.
    pub audit: Arc<Audit>,
    /// The policy in force.
    pub rules: Arc<Live>,
    /// Which rpyc each Houdini speaks.
    pub families: Families,
    config: RwLock<Arc<Config>>,
    tls: RwLock<Arc<TlsSettings>>,
    draining: AtomicBool,
    owners: Mutex<HashMap<String, (Instant, bool)>>,
}

impl Guard {
    /// A guard with no sessions yet.
    pub fn new(
        trust: Arc<Trust>,
        audit: Arc<Audit>,
        policy: Policy,
        config: Config,
        tls: TlsSettings,
    ) -> Self {
        Self {
            trust,
            sessions: Arc::default(),
            gate: Gate::default(),
            renewals: Renewals::default(),
            audit,
            rules: Arc::new(Live::new(policy)),
            families: Families::default(),
            config: RwLock::new(Arc::new(config)),
            tls: RwLock::new(Arc::new(tls)),
            draining: AtomicBool::new(false),
            owners: Mutex::default(),
        }
    }

    /// The configuration as it is now. A connection takes it once.
    pub fn config(&self) -> Arc<Config> {
        self.config
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The TLS settings as they are now.
    pub fn tls(&self) -> Arc<TlsSettings> {
        self.tls
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts a new configuration into force for connections to come.
    pub fn reconfigure(&self, config: Config) {
        self.audit.reconfigure(config.audit.clone());
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Puts a new policy into force, for live sessions as well. Says how many of them were
    /// ended, because their role is gone.
    pub fn repolice(&self, policy: Policy) -> usize {
        self.rules.replace(policy);
        self.sessions.follow_policy(&self.rules.policy())
    }

    /// Puts new TLS settings into force for connections to come.
    pub fn retls(&self, tls: TlsSettings) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tls);
    }

    /// From now on no new session is taken.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether no new session is taken.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Whether a Houdini runs as the guard's own user, as far as that is known.
    pub async fn shares_user(&self, houdini: &Houdini, connection: &Connection) -> bool {
        let key = houdini.to_string();
        if let Some((asked, shared)) = self.lock_owners().get_mut(&key) {
            if asked.elapsed() < OWNER_KNOWN {
                return *shared;
            }
            // One session asks anew; the others go by the old answer meanwhile.
            *asked = Instant::now();
        }
        let owner = connection.owner().await;
        let shared = owner.is_some() && owner == ports::own_user();
        self.lock_owners().insert(key, (Instant::now(), shared));
        shared
    }

    fn lock_owners(&self) -> MutexGuard<'_, HashMap<String, (Instant, bool)>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
