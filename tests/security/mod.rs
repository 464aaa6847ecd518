//! The wire secured: one Kafka with a listener for each way in, and an authorizer.
//!
//! `docs/security.md` has the tables that these tests read: what they find there is what is granted, refused and said.

mod keys;
mod rights;
mod ways;

use std::sync::OnceLock;

use tempfile::TempDir;

use crate::cluster::{KafkaCluster, ProgramSettings, ports};
use crate::docs::pages;

/// So many users with a password, for the tests of rights: `user-0` and on.
const USERS: usize = 40;

/// The broker, and what whoever connects needs.
struct Secured {
    cluster: KafkaCluster,
    dir: TempDir,
    /// The first port of its listeners, in the order of [`LISTENERS`].
    first: u16,
}

/// The listeners beside the plain one, by name and protocol: for all; for who has a certificate; for users; with the certificate of another
/// host; with an expired one.
const LISTENERS: [(&str, &str); 5] =
    [("TLS", "SSL"), ("MUTUAL", "SSL"), ("SASL", "SASL_SSL"), ("OTHER", "SSL"), ("OLD", "SSL")];

/// The one broker of these tests.
fn secured() -> &'static Secured {
    static SECURED: OnceLock<Secured> = OnceLock::new();
    SECURED.get_or_init(Secured::start)
}

impl Secured {
    fn start() -> Self {
        let dir = TempDir::new().expect("a directory");
        keys::make(dir.path());
        let first = ports::free(5);
        let ports = (first..).zip(LISTENERS);
        let each = |text: Vec<String>| text.concat();
        let listeners = ports.map(|(port, (name, _))| format!(",{name}://127.0.0.1:{port}"));
        let listeners = each(listeners.collect());
        let protocols = LISTENERS.map(|(name, protocol)| format!(",{name}:{protocol}"));
        let protocols = each(protocols.to_vec());
        let users = (0..USERS).map(|user| format!(" user_user-{user}=\"secret-{user}\""));
        let users = each(users.collect());
        let at = dir.path().display();
        let security = "org.apache.kafka.common.security";
        let jaas = "listener.name.sasl";
        let properties = format!(
            r#"
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@{listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:by-certificate;User:by-password;User:by-proof;User:by-token
ssl.keystore.type=PEM
ssl.keystore.location={at}/broker.both
ssl.truststore.type=PEM
ssl.truststore.location={at}/authority.pem
ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/
listener.name.mutual.ssl.client.auth=required
listener.name.other.ssl.keystore.location={at}/other.both
listener.name.old.ssl.keystore.location={at}/old.both
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER
{jaas}.plain.sasl.jaas.config={security}.plain.PlainLoginModule required user_by-password="plain-secret"{users};
{jaas}.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
{jaas}.oauthbearer.sasl.jaas.config={security}.oauthbearer.OAuthBearerLoginModule required;
{jaas}.oauthbearer.sasl.server.callback.handler.class={security}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler
"#
        );
        let proof = "SCRAM-SHA-512=[name=by-proof,password=scram-secret]".to_owned();
        Self { cluster: KafkaCluster::start_with(1, &properties, &[proof]), dir, first }
    }

    /// A file of keys.
    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// `settings` for a listener, with the right authority.
    fn by(&self, listener: &str, protocol: &str, settings: ProgramSettings) -> ProgramSettings {
        let place = LISTENERS.iter().position(|(name, _)| *name == listener);
        let port = self.first + u16::try_from(place.expect("one of them")).expect("a few");
        settings
            .set("kafka.bootstrap_servers", &format!("127.0.0.1:{port}"))
            .set("kafka.security.protocol", protocol)
            .set("kafka.security.ca_file", &self.file("authority.pem"))
    }

    /// `settings` for a user with a password.
    fn by_password(
        &self,
        user: &str,
        password: &str,
        settings: ProgramSettings,
    ) -> ProgramSettings {
        self.by("SASL", "sasl_ssl", settings)
            .set("kafka.security.sasl_mechanism", "PLAIN")
            .set("kafka.security.username", user)
            .set("kafka.security.password", password)
    }
}

/// The rows of the table whose header is `header`, without the marks of code.
fn table(header: &str) -> Vec<Vec<String>> {
    let rows = pages::table(header).into_iter();
    let plain = |row: Vec<String>| row.iter().map(|cell| cell.replace('`', "")).collect();
    rows.map(plain).collect()
}
