//! Asking for names: as a container would, and as a program on this machine would.

#[cfg(target_os = "linux")]
use std::io::Read;
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

#[cfg(target_os = "linux")]
use caddy_doctor_checks::model::Missing;
use caddy_doctor_checks::model::{
    Known,
    view::{NameAnswer, NameSeen},
};
use futures_util::future::join_all;
use hickory_resolver::{Resolver, TokioResolver, net::NetError};
#[cfg(unix)]
use hickory_resolver::{
    config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    system_conf::parse_resolv_conf,
};

#[cfg(target_os = "linux")]
use super::http::of_io;
use super::log;

/// What a container resolves names with: its own two files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    pub(crate) hosts: String,
    pub(crate) resolv_conf: String,
}

impl Files {
    /// Reads the files of the container that a process is in.
    ///
    /// # Errors
    /// When `resolv.conf` cannot be read: then nobody can say what the container would be answered.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_process(pid: u32) -> Known<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/root/etc/{file}");
            let mut text = String::new();
            let opened = std::fs::File::open(&path).and_then(|file| file.take(1 << 20).read_to_string(&mut text));
            match opened {
                Ok(_) => Ok(text),
                Err(error) => Err(Missing::failed(format!("reading {path}"), of_io(error.kind()), error.to_string())),
            }
        };
        // Without a hosts file there is simply nothing in it.
        Ok(Self { hosts: read("hosts").unwrap_or_default(), resolv_conf: read("resolv.conf")? })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_process(_: u32) -> Known<Self> {
        Ok(Self::default())
    }

    /// The address of its first name server, for the report.
    fn server(&self) -> String {
        let servers = self.resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
        servers.map(str::trim).next().unwrap_or("no name server").to_owned()
    }

    fn in_hosts(&self, name: &str) -> Vec<IpAddr> {
        let lines = self.hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
        lines
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let ip = words.next()?.parse().ok()?;
                words.any(|own| own.eq_ignore_ascii_case(name)).then_some(ip)
            })
            .collect()
    }
}

/// Asks for every name as a program in the container would: `/etc/hosts` first, then its name servers. To be called
/// inside its namespace; `from` says so in the log.
pub(crate) async fn as_container(from: &str, files: &Files, names: &[String], time: Duration) -> Vec<NameSeen> {
    let resolver = resolver_of(files, time);
    join_all(names.iter().map(async |name| {
        let (told, start) = (log::ask(format_args!("the name {name}, {from}")), Instant::now());
        let in_hosts = files.in_hosts(name);
        let (server, answer) = if !in_hosts.is_empty() {
            ("/etc/hosts".to_owned(), NameAnswer::Addresses(in_hosts))
        } else {
            let answer = match &resolver {
                Ok(resolver) => lookup(resolver, name, time).await,
                Err(why) => NameAnswer::Failed(why.clone()),
            };
            (files.server(), answer)
        };
        told.ends(format_args!("{}, says {server}", words(&answer)));
        seen(name, server, answer, start)
    }))
    .await
}

#[cfg(unix)]
fn resolver_of(files: &Files, time: Duration) -> Result<TokioResolver, String> {
    let (config, options) = parse_resolv_conf(&files.resolv_conf).map_err(|error| error.to_string())?;
    resolver(config, options, time)
}

#[cfg(not(unix))]
fn resolver_of(_: &Files, _: Duration) -> Result<TokioResolver, String> {
    Err("this system has no resolv.conf".to_owned())
}

/// Honest timing: no cache, no second attempt, and no hosts file of this machine.
#[cfg(unix)]
fn resolver(config: ResolverConfig, mut options: ResolverOpts, time: Duration) -> Result<TokioResolver, String> {
    options.timeout = time;
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build().map_err(|error| error.to_string())
}

/// A name may be asked for in several search domains, each with its own time; all of them together get `time`.
async fn lookup(resolver: &TokioResolver, name: &str, time: Duration) -> NameAnswer {
    match tokio::time::timeout(time, resolver.lookup_ip(name)).await {
        Ok(Ok(found)) => NameAnswer::Addresses(found.iter().collect()),
        Ok(Err(error)) => answer_of(&error),
        Err(_) => NameAnswer::Failed(format!("no answer in {} ms", time.as_millis())),
    }
}

fn answer_of(error: &NetError) -> NameAnswer {
    if error.is_nx_domain() || error.is_no_records_found() {
        NameAnswer::NoSuchName
    } else {
        NameAnswer::Failed(error.to_string())
    }
}

/// Asks for names as programs on this machine do (getaddrinfo), and the name servers themselves; says when they differ.
pub(crate) async fn on_host(names: &[String], time: Duration) -> Vec<NameSeen> {
    let servers = Resolver::builder_tokio().map_err(|error| error.to_string()).and_then(|mut builder| {
        let options = builder.options_mut();
        (options.timeout, options.attempts, options.cache_size) = (time, 0, 0);
        builder.build().map_err(|error| error.to_string())
    });
    join_all(names.iter().map(async |name| {
        let (told, start) = (log::ask(format_args!("the name {name}, from here")), Instant::now());
        let programs = async {
            match tokio::time::timeout(time, tokio::net::lookup_host((name.as_str(), 0))).await {
                Ok(Ok(found)) => {
                    let mut ips: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                    ips.dedup();
                    NameAnswer::Addresses(ips)
                }
                // getaddrinfo tells "no such name" from "no answer" by its text alone.
                Ok(Err(error)) if says_no_such_name(&error.to_string()) => NameAnswer::NoSuchName,
                Ok(Err(error)) => NameAnswer::Failed(error.to_string()),
                Err(_) => NameAnswer::Failed(format!("no answer in {} ms", time.as_millis())),
            }
        };
        let direct = async {
            match &servers {
                Ok(resolver) => Some(lookup(resolver, name, time).await),
                Err(_) => None,
            }
        };
        let (answer, direct) = tokio::join!(programs, direct);
        let disagrees = match (&answer, &direct) {
            (NameAnswer::Addresses(_), Some(NameAnswer::NoSuchName)) => {
                Some("the name server itself knows no such name".to_owned())
            }
            (NameAnswer::NoSuchName, Some(NameAnswer::Addresses(ips))) => Some(format!(
                "the name server itself says {}",
                ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            )),
            _ => None,
        };
        let but = disagrees.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        told.ends(format_args!("{}, says getaddrinfo{but}", words(&answer)));
        NameSeen { disagrees, ..seen(name, "getaddrinfo".to_owned(), answer, start) }
    }))
    .await
}

/// The words of glibc, musl, macOS and Windows.
fn says_no_such_name(error: &str) -> bool {
    ["not known", "No address", "does not resolve", "does not exist", "No such host"]
        .iter()
        .any(|words| error.contains(words))
}

/// For the log: `172.18.0.3`, `no such name`.
pub(super) fn words(answer: &NameAnswer) -> String {
    match answer {
        NameAnswer::Addresses(ips) => ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        NameAnswer::NoSuchName => "no such name".to_owned(),
        NameAnswer::Failed(why) => why.clone(),
    }
}

fn seen(name: &str, server: String, answer: NameAnswer, start: Instant) -> NameSeen {
    let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    NameSeen { name: name.to_owned(), server, answer, disagrees: None, took_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etc_hosts_is_read_without_comments_and_case() {
        let files = Files {
            hosts: "127.0.0.1 localhost\n172.17.0.1\thost.docker.internal Gateway # backend\n".into(),
            resolv_conf: "# by the engine\nnameserver 127.0.0.11\noptions ndots:0\n".into(),
        };
        assert_eq!(files.in_hosts("GATEWAY"), ["172.17.0.1".parse::<IpAddr>().unwrap()]);
        assert!(files.in_hosts("backend").is_empty());
        assert_eq!(files.server(), "127.0.0.11");
    }
}
