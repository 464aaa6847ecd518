//! Security: one Kafka with a listener for each way to connect, and an authorizer.
//!
//! These tests read the tables of `docs/security.md`: the rights they grant and the messages they expect are those of the page.

pub mod keys;
mod provider;
mod renewal;
mod rights;
mod tokens;
mod ways;

use std::sync::OnceLock;

use tempfile::TempDir;

use crate::cluster::{JVM, KafkaCluster, ProgramSettings, ports};
use crate::docs::pages;
use provider::Provider;

/// The number of users with a password, named `user-0` and so on, for the tests of rights.
const USERS: usize = 60;

/// The broker, and the keys of its clients.
struct Secured {
    cluster: KafkaCluster,
    dir: TempDir,
    /// The port of the first of [`LISTENERS`]; the others follow.
    first: u16,
    provider: Provider,
}

/// The secured listeners, by name and protocol: for everyone; for clients with a certificate; for users; one with the certificate of
/// another host; one with an expired certificate; for tokens of an identity provider; at
/// an IPv6 address.
const LISTENERS: [(&str, &str); 7] = [
    ("TLS", "SSL"),
    ("MUTUAL", "SSL"),
    ("SASL", "SASL_SSL"),
    ("OTHER", "SSL"),
    ("OLD", "SSL"),
    ("PROVIDER", "SASL_SSL"),
    ("SIX", "SSL"),
];

/// The address of a listener.
fn host(listener: &str) -> &'static str {
    if listener == "SIX" { "[::1]" } else { "127.0.0.1" }
}

/// The one broker of these tests.
fn secured() -> &'static Secured {
    static SECURED: OnceLock<Secured> = OnceLock::new();
    SECURED.get_or_init(Secured::start)
}

impl Secured {
    fn start() -> Self {
        let dir = TempDir::new().expect("a directory");
        keys::make(dir.path());
        provider::make_key(dir.path());
        let first = ports::free(u16::try_from(LISTENERS.len()).expect("a few"));
        let ports = (first..).zip(LISTENERS);
        let each = |text: Vec<String>| text.concat();
        let listeners = ports.map(|(port, (name, _))| format!(",{name}://{}:{port}", host(name)));
        let listeners = each(listeners.collect());
        let protocols = LISTENERS.map(|(name, protocol)| format!(",{name}:{protocol}"));
        let protocols = each(protocols.to_vec());
        let users = (0..USERS).map(|user| format!(" user_user-{user}=\"secret-{user}\""));
        let users = each(users.collect());
        let at = dir.path().display();
        let security = "org.apache.kafka.common.security";
        let jaas = "listener.name.sasl";
        let by_provider = "listener.name.provider.oauthbearer";
        let keys = format!("file://{at}/jwks.json");
        let issuer = provider::ISSUER;
        let properties = format!(
            r#"
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@{listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:by-certificate;User:by-password;User:by-proof;User:by-token;User:by-provider
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
listener.name.provider.sasl.enabled.mechanisms=OAUTHBEARER
{by_provider}.sasl.jaas.config={security}.oauthbearer.OAuthBearerLoginModule required;
{by_provider}.sasl.server.callback.handler.class={security}.oauthbearer.OAuthBearerValidatorCallbackHandler
{by_provider}.sasl.oauthbearer.jwks.endpoint.url={keys}
{by_provider}.sasl.oauthbearer.expected.audience=kafka
{by_provider}.sasl.oauthbearer.expected.issuer={issuer}
{by_provider}.connections.max.reauth.ms=60000
"#
        );
        let proof = "SCRAM-SHA-512=[name=by-proof,password=scram-secret]".to_owned();
        let jvm = format!("{JVM} -Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}");
        let cluster = KafkaCluster::set_up(1, &jvm, &properties, &[proof]);
        let provider = Provider::start(dir.path());
        Self { cluster, dir, first, provider }
    }

    /// The path of a key, certificate or token.
    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// `settings` for a listener, with the authority that signed its certificate.
    fn by(&self, listener: &str, protocol: &str, settings: ProgramSettings) -> ProgramSettings {
        let settings = self.at(listener, protocol, settings);
        settings.set("kafka.security.ca_file", &self.file("authority.pem"))
    }

    /// The same without an authority.
    fn at(&self, listener: &str, protocol: &str, settings: ProgramSettings) -> ProgramSettings {
        let place = LISTENERS.iter().position(|(name, _)| *name == listener);
        let port = self.first + u16::try_from(place.expect("one of them")).expect("a few");
        settings
            .set("kafka.bootstrap_servers", &format!("{}:{port}", host(listener)))
            .set("kafka.security.protocol", protocol)
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

    /// `settings` for tokens of the identity provider at `url`.
    fn by_endpoint(&self, url: &str, settings: ProgramSettings) -> ProgramSettings {
        self.by("PROVIDER", "sasl_ssl", settings)
            .set("kafka.security.sasl_mechanism", "OAUTHBEARER")
            .set("kafka.security.oauth_endpoint", url)
            .set("kafka.security.oauth_client_id", "nik-stream")
            .set("kafka.security.oauth_client_secret_file", &self.file("client-secret"))
            .set("kafka.security.oauth_audience", "kafka")
    }
}

/// The rows of the table with this header, without backticks.
fn table(header: &str) -> Vec<Vec<String>> {
    let rows = pages::table(header).into_iter();
    let plain = |row: Vec<String>| row.iter().map(|cell| cell.replace('`', "")).collect();
    rows.map(plain).collect()
}
