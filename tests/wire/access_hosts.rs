//! Hosts that nobody resolves, behind a CONNECT proxy: servers behind Cloudflare Access and others, and the teams that
//! publish the keys by which Access proves itself.
//!
//! Deliberately not here: what is expected of the proxy (`service_token`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Value, json};

use crate::network::Tunnel;
use crate::support::proxy::{Proxy, Stdin};
use crate::support::server::{Reply, Request, Server};
use crate::tls::{Secure, before};

pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef.access";
pub(crate) const SECRET: &str = "cfast_marked0000000000000000000000000000000000000000000";
pub(crate) const NEXT_ID: &str = "fedcba9876543210fedcba9876543210.access";
pub(crate) const NEXT_SECRET: &str = "cfast_marked1111111111111111111111111111111111111111111";
pub(crate) const HOST: &str = "mcp.example.test";
pub(crate) const TEAM: &str = "acme.cloudflareaccess.com";
pub(crate) const OTHER_TEAM: &str = "evil.cloudflareaccess.com";

/// How Access refuses a request that nothing admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A redirect to the sign-in page of the team.
    Redirect,
    /// The challenge of Managed OAuth.
    Challenge,
    /// 403, as Access writes it.
    Forbidden,
    /// 401 or 403 without a word.
    Bare(u16),
    /// Nothing: everything gets through to the server.
    Bypass,
}

/// One host.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) refusal: Refusal,
    /// The header `cf-access-metadata`, where the host answers with it.
    pub(crate) metadata: Option<String>,
    /// The pairs that are admitted.
    pub(crate) admitted: Vec<[&'static str; 2]>,
    /// Where the keys are, if not at the team.
    pub(crate) certificates: Certificates,
}

/// What a team answers when it is asked for its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificates {
    Served,
    Redirected,
    Missing,
}

impl Site {
    /// A host that an application of the team protects.
    pub(crate) fn protected(refusal: Refusal) -> Site {
        let metadata = Some(signed(&claims()));
        Site { refusal, metadata, admitted: vec![[ID, SECRET]], certificates: Certificates::Served }
    }
}

/// The claims about [`HOST`].
pub(crate) fn claims() -> Value {
    json!({
        "type": "match", "hostname": HOST, "app_hostname": HOST, "auth_domain": TEAM, "aud": "0123abcd",
        "iat": now(),
    })
}

#[expect(clippy::disallowed_methods, reason = "a token is issued now")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn key() -> KeyPair {
    KeyPair::from_der(include_bytes!("../keys/rsa-2048.pkcs1.der")).expect("a key")
}

/// A token that the key of every team has signed.
pub(crate) fn signed(claims: &Value) -> String {
    let key = key();
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" })), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).expect("signed");
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn keys() -> String {
    let encoded = |bytes: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let public = PublicKeyComponents::<Vec<u8>>::from(key().public());
    let (n, e) = (encoded(public.n), encoded(public.e));
    json!({
        "keys": [{ "kid": "k1", "kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e }],
        "public_cert": { "kid": "k1", "cert": "" }, "public_certs": [],
    })
    .to_string()
}

/// What a server answers to those who get through to it.
type Origin = Arc<dyn Fn(&Request, &mut Reply) + Send + Sync>;

/// All hosts, and the way there.
pub(crate) struct Internet {
    pub(crate) server: Server,
    secure: Secure,
    tunnel: Tunnel,
    sites: Arc<Mutex<HashMap<String, Site>>>,
    /// Where the proxy under test keeps what it remembers.
    pub(crate) folder: tempfile::TempDir,
}

impl Internet {
    /// A server at [`HOST`] that answers every request with an empty result, with this before it.
    pub(crate) fn with(site: Site) -> Internet {
        Internet::of(site, |request, reply| match request.method.as_str() {
            "POST" if request.member("id").is_some() => reply.result(request, "{}"),
            "POST" => reply.status(202),
            _ => reply.status(405),
        })
    }

    /// The same with a server that answers so.
    pub(crate) fn of(site: Site, origin: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Internet {
        let sites = Arc::new(Mutex::new(HashMap::from([(HOST.to_owned(), site)])));
        let (known, origin) = (Arc::clone(&sites), Arc::new(origin) as Origin);
        let server = Server::start(move |request, reply| answer(&known, &origin, request, reply));
        let names = [HOST, "other.example.test", TEAM, OTHER_TEAM];
        let secure = before(&server.address, "http/1.1", false, |params| {
            let name = |name: &str| rcgen::SanType::DnsName(name.try_into().expect("a name"));
            params.subject_alt_names = names.map(name).to_vec();
        });
        let tunnel = Tunnel::start(&secure.address, None, 200);
        Internet { server, secure, tunnel, sites, folder: tempfile::tempdir().expect("a folder") }
    }

    /// Changes what stands before [`HOST`].
    pub(crate) fn change(&self, change: impl FnOnce(&mut Site)) {
        change(self.sites.lock().expect("no panic").get_mut(HOST).expect("it is there"));
    }

    /// Has another host as well.
    pub(crate) fn add(&self, host: &str, site: Site) {
        self.sites.lock().expect("no panic").insert(host.to_owned(), site);
    }

    /// Starts the proxy for [`HOST`] with the service token in its environment.
    pub(crate) fn start(&self, arguments: &[&str]) -> Proxy {
        self.start_with(arguments, &[])
    }

    pub(crate) fn start_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Proxy {
        self.start_at("https://mcp.example.test/mcp", arguments, environment)
    }

    pub(crate) fn start_at(&self, url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Proxy {
        let (arguments, environment) = (self.arguments(url, arguments), self.environment(environment));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Proxy::start_with(Stdin::Pipes, &arguments, &environment)
    }

    pub(crate) fn arguments(&self, url: &str, more: &[&str]) -> Vec<String> {
        let authority = self.secure.file("ca.pem");
        let all =
            [url, "--ca-cert", &authority, "--protocol", "legacy"].into_iter().chain(more.iter().copied());
        all.map(str::to_owned).collect()
    }

    pub(crate) fn environment(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let proxy = format!("http://{}", self.tunnel.address);
        let folder = self.folder.path().display().to_string();
        let usual = [
            ("HTTPS_PROXY", proxy.as_str()),
            ("MCP_TETHER_CONFIG_DIR", &folder),
            ("CF_ACCESS_CLIENT_ID", ID),
            ("CF_ACCESS_CLIENT_SECRET", SECRET),
        ];
        let usual = usual.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        let all = usual.chain(more.iter().copied().filter(|(_, value)| !value.is_empty()));
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The file in which hosts are remembered.
    pub(crate) fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("mcp-tether").join("access-hosts.json")
    }

    /// What arrived: method and host, and whether the service token came along.
    pub(crate) fn seen(&self) -> Vec<String> {
        let shown = |request: &Request| {
            let host = request.header("host").unwrap_or_default();
            let with = if has_token(request) { " +token" } else { "" };
            format!("{} {host}{with}", request.method)
        };
        self.server.requests().iter().map(shown).collect()
    }

    /// How many of those there were.
    pub(crate) fn count(&self, shown: &str) -> usize {
        self.seen().iter().filter(|other| *other == shown).count()
    }

    /// Fails if any part of the service token ever arrived anywhere.
    pub(crate) fn got_no_token(&self) {
        for request in self.server.requests() {
            let text = format!("{request:?}");
            assert!(!text.contains("marked") && !text.contains(ID), "{text}");
        }
    }
}

fn has_token(request: &Request) -> bool {
    format!("{:?}", request.headers).contains("cfast_")
}

fn answer(sites: &Mutex<HashMap<String, Site>>, origin: &Origin, request: &Request, reply: &mut Reply) {
    let host = request.header("host").unwrap_or_default().to_owned();
    if host.ends_with(".cloudflareaccess.com") {
        assert!(!has_token(request), "the token went to {host}");
        assert_eq!(request.path, "/cdn-cgi/access/certs");
        let certificates = sites.lock().expect("no panic").get(HOST).map(|site| site.certificates);
        return match certificates.unwrap_or(Certificates::Served) {
            Certificates::Served => reply.json(&keys()),
            Certificates::Redirected => {
                reply.answer(302, &[("location", "https://other.example.test/certs")], "")
            }
            Certificates::Missing => reply.status(404),
        };
    }
    let Some(site) = sites.lock().expect("no panic").get(&host).cloned() else {
        assert_ne!(request.path, "/certs", "a redirect was followed");
        return reply.status(404);
    };
    let pair = ["cf-access-client-id", "cf-access-client-secret"].map(|name| request.header(name));
    let is_admitted = site.admitted.iter().any(|[id, secret]| pair == [Some(*id), Some(*secret)]);
    let is_question = request.header("cf-access-metadata-request").is_some();
    assert!(!is_question || request.method == "HEAD" && !has_token(request), "{request:?}");
    let metadata =
        site.metadata.as_deref().filter(|_| is_question).map(|token| ("cf-access-metadata", token));
    if is_admitted || site.refusal == Refusal::Bypass {
        if is_question {
            return reply.answer(200, &Vec::from_iter(metadata), "");
        }
        return origin(request, reply);
    }
    let login = format!("https://{TEAM}/cdn-cgi/access/login/{host}?kid=0123abcd&redirect_url=%2Fmcp");
    let document = format!("https://{host}/.well-known/cloudflare-access-protected-resource/mcp");
    let challenge =
        format!("Bearer realm=\"OAuth\", error=\"invalid_token\", resource_metadata=\"{document}\"");
    let (status, header) = match site.refusal {
        Refusal::Redirect => (302, Some(("location", login.as_str()))),
        Refusal::Challenge => (401, Some(("www-authenticate", challenge.as_str()))),
        Refusal::Forbidden => (403, Some(("cf-access-domain", HOST))),
        Refusal::Bare(status) => (status, None),
        Refusal::Bypass => unreachable!("it was let through"),
    };
    reply.answer(status, &Vec::from_iter(header.into_iter().chain(metadata)), "");
}
