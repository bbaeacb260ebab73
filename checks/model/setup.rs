//! Which containers and processes are Caddy and mitmproxy, and which of them belong together.

use serde::{Deserialize, Serialize};

use crate::model::{
    Asked, Facts, Gap, Known, Missing, Place,
    caddy::{Caddies, CaddyConfig},
    docker::{Container, Containers, Networks, Program},
    facts::Kind,
    host::{Host, Process, ProcessProgram},
    names::{self, Meaning},
    path, route, text,
};

/// What a part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Caddy,
    Mitmproxy,
}

/// A Caddy or a mitmproxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub role: Role,
    /// The container's name, or `caddy (pid 123)`, or `caddy at http://127.0.0.1:2019`.
    pub name: String,
    pub place: Place,
    pub kind: PartKind,
    /// By what it was recognised, a phrase: `by its command`.
    pub how: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PartKind {
    Container,
    /// With the ports that it listens on, as far as this user may see them.
    Process {
        pid: u32,
        ports: Vec<u16>,
    },
    /// Only its API's address is known: `http://127.0.0.1:2019`.
    Address(String),
}

impl Part {
    /// Whether its API, which gave no answer, may give one later without anybody's doing. A process that listens somewhere
    /// has started, so what refuses at its API's usual port is elsewhere, or off.
    #[must_use]
    pub fn may_answer_later(&self, containers: Option<&Containers>, missing: &Missing) -> bool {
        match (&self.kind, containers.and_then(|all| all.named(&self.name))) {
            (PartKind::Container, Some(container)) => container.may_answer_later(missing),
            (PartKind::Process { ports, .. }, _) => missing.may_heal(ports.is_empty()),
            _ => missing.may_heal(true),
        }
    }
}

/// The parts that are judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setup {
    pub caddies: Vec<Part>,
    pub mitmproxies: Vec<Part>,
    /// Parts that belong to some other setup.
    pub others: Vec<String>,
    /// By what the setup was chosen among several, a phrase.
    pub chosen: Option<String>,
    /// Why processes on the host could not be looked at, or containers could not.
    pub not_looked: Vec<Missing>,
}

impl Setup {
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.caddies.iter().chain(&self.mitmproxies)
    }

    /// What cannot be looked at because a part is missing.
    #[must_use]
    pub fn gap(&self, role: Role) -> Option<Gap> {
        let (parts, name) = match role {
            Role::Caddy => (&self.caddies, "Caddy"),
            Role::Mitmproxy => (&self.mitmproxies, "mitmproxy"),
        };
        let gap = || Gap::about([] as [&str; 0], format!("there is no {name}"));
        parts.is_empty().then(gap)
    }

    /// Whether both are there, and neither is a container.
    #[must_use]
    pub fn is_on_the_host(&self) -> bool {
        !self.caddies.is_empty()
            && !self.mitmproxies.is_empty()
            && self.parts().all(|part| part.kind != PartKind::Container)
    }

    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts().find(|part| part.name == name)
    }
}

/// Every Caddy and mitmproxy there is, before any is chosen.
#[must_use]
pub fn candidates(asked: &Asked, containers: Option<&Containers>, host: Option<&Host>) -> Vec<Part> {
    let mut found = Vec::new();
    if let Some(containers) = containers {
        found.extend(containers.0.iter().filter_map(|container| recognise(containers, container)));
        for (role, name) in [(Role::Caddy, "caddy"), (Role::Mitmproxy, "mitmproxy")] {
            if !found.iter().any(|part| part.role == role) {
                let by_image = containers.0.iter().filter(|container| image_name(&container.image) == name);
                found.extend(by_image.map(|container| part(containers, container, role, "by the name of its image")));
            }
        }
    }
    for process in host.and_then(|host| host.processes.as_ref().ok()).into_iter().flatten() {
        found.push(Part {
            role: match process.program {
                ProcessProgram::Caddy => Role::Caddy,
                ProcessProgram::Mitmproxy(_) => Role::Mitmproxy,
            },
            name: process.name(),
            place: Place::Host,
            kind: PartKind::Process { pid: process.pid, ports: process.ports.clone() },
            how: "a process on the host",
        });
    }
    for (role, reference) in [(Role::Caddy, &asked.caddy), (Role::Mitmproxy, &asked.mitmproxy)] {
        if let Some(reference) = reference {
            found.retain(|part| part.role != role || part.name == *reference);
            if !found.iter().any(|part| part.role == role) {
                found.extend(asked_for(containers, host, role, reference));
            }
        }
    }
    found.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
    found
}

fn recognise(containers: &Containers, container: &Container) -> Option<Part> {
    let (role, how) = match (container.role_label.as_deref(), &container.program) {
        (Some("caddy"), _) => (Role::Caddy, "by its label doctor.role"),
        (Some("mitmproxy"), _) => (Role::Mitmproxy, "by its label doctor.role"),
        (Some(_), _) => return None,
        (None, Some(Program::Caddy)) => (Role::Caddy, "by its command"),
        (None, Some(Program::Mitmproxy(_))) => (Role::Mitmproxy, "by its command"),
        (None, None) => {
            container.detail.as_ref()?.environment("CADDY_VERSION")?;
            (Role::Caddy, "by CADDY_VERSION of its image")
        }
    };
    Some(part(containers, container, role, how))
}

fn part(containers: &Containers, container: &Container, role: Role, how: &'static str) -> Part {
    Part { role, name: container.name.clone(), place: containers.place_of(container), kind: PartKind::Container, how }
}

/// The last part of an image's name, without registry, tag and digest.
fn image_name(image: &str) -> &str {
    let name = text::base_name(image.split('@').next().unwrap_or(image));
    name.split(':').next().unwrap_or(name)
}

/// What `--caddy` or `--mitmproxy` names, when nothing that was recognised has that name.
fn asked_for(containers: Option<&Containers>, host: Option<&Host>, role: Role, reference: &str) -> Option<Part> {
    if let Some(container) = containers.and_then(|all| all.by_reference(reference)) {
        return Some(part(containers?, container, role, "as you said"));
    }
    let address = reference.strip_prefix("http://")?;
    let (name, port) = text::host_and_port(address.trim_end_matches('/'))?;
    if let (Some(containers), Some(port)) = (containers, port) {
        let behind = match name.parse() {
            Ok(ip) if containers.at(ip).is_some() => containers.at(ip).map(|(container, _)| container),
            _ => containers.publishing(port).map(|(container, _)| container),
        };
        if let Some(container) = behind {
            return Some(part(containers, container, role, "as you said"));
        }
    }
    let owns = |process: &&Process| {
        port.is_some_and(|port| process.ports.contains(&port))
            && matches!(process.program, ProcessProgram::Caddy) == (role == Role::Caddy)
    };
    let process = host.and_then(|host| host.processes.as_ref().ok()).and_then(|all| all.iter().find(owns));
    Some(Part {
        role,
        name: match process {
            Some(process) => process.name(),
            None => format!("{} at {reference}", if role == Role::Caddy { "caddy" } else { "mitmproxy" }),
        },
        place: Place::Host,
        kind: PartKind::Address(format!("http://{}", address.trim_end_matches('/'))),
        how: "as you said",
    })
}

/// Finds the setup that is meant.
///
/// # Errors
/// When neither containers nor processes could be looked at, and nothing was found.
pub fn find(facts: &Facts) -> Known<Setup> {
    let containers = facts.containers.as_ref();
    let host = facts.host.as_ref();
    let found = candidates(&facts.asked, containers.ok(), host.ok());
    let mut not_looked = Vec::new();
    if let Err(missing) = containers {
        if found.is_empty() {
            return Err(missing.clone());
        }
        not_looked.push(missing.clone());
    }
    match host.map(|host| &host.processes) {
        Ok(Err(missing)) | Err(missing) => not_looked.push(missing.clone()),
        Ok(Ok(_)) => {}
    }
    if found.is_empty() && containers.is_ok_and(|all| all.0.is_empty()) && !not_looked.is_empty() {
        let why = "no container is here, and processes on the host could not be looked at";
        return Err(Missing::failed("looking for Caddy and mitmproxy", Kind::NotFound, why));
    }

    let (mut chosen, mut others) = (None, Vec::new());
    let mut kept = found;
    if facts.asked.compose.is_some() {
        // What an image that is not here runs, is not known.
        let unread = containers.iter().flat_map(|all| &all.0).filter(|own| own.is_planned() && own.program.is_none());
        not_looked.extend(unread.filter_map(|own| own.not_inspected.clone()));
        // A role that the file does not fill may be filled by what runs already.
        let is_planned = |part: &Part| containers.is_ok_and(|all| all.is_planned(&part.name));
        let fills = |role: Role| kept.iter().any(|part| part.role == role && is_planned(part));
        let fills = (fills(Role::Caddy), fills(Role::Mitmproxy));
        let belongs = |part: &Part| is_planned(part) || !(if part.role == Role::Caddy { fills.0 } else { fills.1 });
        (kept, others) = split(kept, belongs);
        chosen = Some("the compose file".to_owned());
    } else if let Some(project) = &facts.asked.project {
        let belongs = |part: &Part| compose_project(containers.ok(), part) == Some(project.as_str());
        (kept, others) = split(kept, belongs);
        chosen = Some(format!("compose project {project}, as you said"));
    } else if let Some(folder) = &facts.asked.folder
        && kept.iter().any(|part| compose_project(containers.ok(), part) == Some(folder.as_str()))
    {
        // A role that the project does not fill may be filled by a Caddy that several projects share.
        let has = |role: Role| {
            kept.iter().any(|p| p.role == role && compose_project(containers.ok(), p) == Some(folder.as_str()))
        };
        let has = (has(Role::Caddy), has(Role::Mitmproxy));
        let belongs = |part: &Part| {
            let filled = if part.role == Role::Caddy { has.0 } else { has.1 };
            !filled || compose_project(containers.ok(), part) == Some(folder.as_str())
        };
        let before = kept.len();
        (kept, others) = split(kept, belongs);
        if kept.len() < before {
            chosen = Some(format!("compose project {folder}, as this folder is called"));
        }
    }

    let empty = (Containers::default(), Networks::default());
    let containers = facts.containers.as_ref().unwrap_or(&empty.0);
    let networks = facts.networks.as_ref().unwrap_or(&empty.1);
    if let Ok(caddies) = &facts.caddies
        && let Some(not_dialled) = narrow_by_dials(&mut kept, caddies, containers, networks)
    {
        chosen.get_or_insert_with(|| "what Caddy dials".to_owned());
        others.extend(not_dialled);
    }
    let left_over = left_over(&mut kept, facts, containers, networks);
    if !left_over.is_empty() {
        chosen.get_or_insert_with(|| "what runs".to_owned());
        others.extend(left_over);
    }
    let (caddies, mitmproxies) = kept.into_iter().partition(|part| part.role == Role::Caddy);
    Ok(Setup { caddies, mitmproxies, others: others.into_iter().map(|part| part.name).collect(), chosen, not_looked })
}

fn split(parts: Vec<Part>, belongs: impl FnMut(&Part) -> bool) -> (Vec<Part>, Vec<Part>) {
    parts.into_iter().partition(belongs)
}

fn compose_project<'c>(containers: Option<&'c Containers>, part: &Part) -> Option<&'c str> {
    let container = containers?.named(&part.name).filter(|_| part.kind == PartKind::Container)?;
    container.compose.as_ref().map(|compose| compose.project.as_str())
}

/// Several Caddys or mitmproxys: keeps the Caddys that dial one of the mitmproxys, and the mitmproxys that they dial or
/// live with (on a network, or in a compose project). Returns the others; `None` when all are kept or none is dialled.
fn narrow_by_dials(
    kept: &mut Vec<Part>,
    caddies: &Caddies,
    containers: &Containers,
    networks: &Networks,
) -> Option<Vec<Part>> {
    let dials = |caddy: &Part, mitmproxy: &Part| {
        let config = caddies.named(&caddy.name).and_then(|seen| seen.config.as_ref().ok());
        config.is_some_and(|config| dials(config, &caddy.place, mitmproxy, containers, networks))
    };
    let pairs: Vec<(String, String)> = kept
        .iter()
        .filter(|part| part.role == Role::Caddy)
        .flat_map(|caddy| {
            kept.iter()
                .filter(|part| part.role == Role::Mitmproxy)
                .filter(|mitmproxy| dials(caddy, mitmproxy))
                .map(|mitmproxy| (caddy.name.clone(), mitmproxy.name.clone()))
        })
        .collect();
    if pairs.is_empty() {
        return None;
    }
    // A Caddy that could not be asked may be the one that a mitmproxy which nobody dials belongs to.
    let dialled = |mitmproxy: &Part| pairs.iter().any(|(_, own)| *own == mitmproxy.name);
    let is_orphaned = |caddy: &Part| {
        caddies.named(&caddy.name).is_none_or(|seen| seen.config.is_err())
            && kept.iter().any(|part| {
                part.role == Role::Mitmproxy
                    && runs(containers, part)
                    && !dialled(part)
                    && live_together(containers, caddy, part)
            })
    };
    let chosen_caddies: Vec<Part> = kept
        .iter()
        .filter(|part| part.role == Role::Caddy)
        .filter(|part| pairs.iter().any(|(caddy, _)| *caddy == part.name) || is_orphaned(part))
        .cloned()
        .collect();
    let belongs = |part: &Part| match part.role {
        Role::Caddy => chosen_caddies.contains(part),
        Role::Mitmproxy => {
            // One that is stopped and that nobody dials is left over from something.
            dialled(part)
                || runs(containers, part) && chosen_caddies.iter().any(|caddy| live_together(containers, caddy, part))
        }
    };
    let (belonging, others) = split(std::mem::take(kept), belongs);
    *kept = belonging;
    (!others.is_empty()).then_some(others)
}

/// Takes out the mitmproxys that were stopped while another one runs, and that nobody is known to dial: what Caddy dials may
/// not be known at all. One of the project that was asked for, or of a Caddy's own, is a part that should run.
fn left_over(kept: &mut Vec<Part>, facts: &Facts, containers: &Containers, networks: &Networks) -> Vec<Part> {
    let is_mitmproxy = |part: &&Part| part.role == Role::Mitmproxy;
    if facts.asked.project.is_some() || !kept.iter().filter(is_mitmproxy).any(|part| runs(containers, part)) {
        return Vec::new();
    }
    let was_stopped = |part: &Part| {
        let own = containers.named(&part.name).filter(|_| part.kind == PartKind::Container);
        own.filter(|own| own.status == "exited" && !own.may_come_up())
            .is_some_and(|own| own.detail.as_ref().is_none_or(|detail| detail.was_stopped() && !detail.oom_killed))
    };
    let project = |part: &Part| compose_project(Some(containers), part);
    let is_wanted = |part: &Part| {
        let folder = facts.asked.folder.as_deref();
        let caddies = kept.iter().filter(|caddy| caddy.role == Role::Caddy);
        project(part).is_some_and(|own| folder == Some(own) || caddies.clone().any(|caddy| project(caddy) == Some(own)))
            || caddies.clone().any(|caddy| {
                let seen = facts.caddies.as_ref().ok().and_then(|all| all.named(&caddy.name));
                seen.and_then(|seen| seen.config.as_ref().ok())
                    .is_some_and(|config| dials(config, &caddy.place, part, containers, networks))
            })
    };
    let keeps = |part: &Part| part.role == Role::Caddy || !was_stopped(part) || is_wanted(part);
    let stays: Vec<bool> = kept.iter().map(keeps).collect();
    let mut stays = stays.into_iter();
    let (keeping, left_over) = split(std::mem::take(kept), |_| stays.next().unwrap_or(true));
    *kept = keeping;
    left_over
}

/// Whether some dial of this config leads to a mitmproxy, by name, address or published port.
fn dials(config: &CaddyConfig, place: &Place, mitmproxy: &Part, containers: &Containers, networks: &Networks) -> bool {
    route::dials_of(config).iter().any(|dial| {
        let Some(dial) = path::Dial::read(dial) else { return false };
        let on_host = || match &mitmproxy.kind {
            PartKind::Container if mitmproxy.place != Place::Host => {
                dial.port.and_then(|port| containers.publishing(port)).is_some_and(|(c, _)| c.name == mitmproxy.name)
            }
            _ => mitmproxy.place == Place::Host,
        };
        match names::meaning(containers, networks, place, &dial.host) {
            Meaning::Itself if *place == Place::Host => on_host(),
            Meaning::Itself => mitmproxy.place == *place,
            Meaning::TheHost => on_host(),
            Meaning::Container { name, .. } => {
                containers.named(&name).map(|container| containers.place_of(container)).as_ref()
                    == Some(&mitmproxy.place)
            }
            Meaning::Elsewhere(names) => names.contains(&mitmproxy.name),
            Meaning::Address(_) | Meaning::Unknown => false,
        }
    })
}

fn runs(containers: &Containers, part: &Part) -> bool {
    part.kind != PartKind::Container || containers.named(&part.name).is_some_and(Container::lives)
}

fn live_together(containers: &Containers, caddy: &Part, mitmproxy: &Part) -> bool {
    if caddy.place == mitmproxy.place {
        return true;
    }
    let (Some(a), Some(b)) = (containers.named(&caddy.name), containers.named(&mitmproxy.name)) else { return false };
    let project = |container: &Container| container.compose.as_ref().map(|compose| compose.project.clone());
    project(a).is_some() && project(a) == project(b)
        || a.networks.iter().any(|attached| {
            crate::model::docker::is_user_defined(&attached.network) && b.on(&attached.network).is_some()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;

    fn names(parts: &[Part]) -> Vec<&str> {
        parts.iter().map(|part| part.name.as_str()).collect()
    }

    #[test]
    fn finds_parts_by_command_before_image() {
        let (mut containers, _) = example::two_networks();
        let backend = containers.0.iter_mut().find(|container| container.name == "backend").unwrap();
        backend.image = "mitmproxy/mitmproxy:10.4.2".into(); // runs something else on the same image
        let found = candidates(&Asked::default(), Some(&containers), None);
        assert_eq!(names(&found), ["caddy", "mitmproxy"]);
    }

    #[test]
    fn a_flag_names_the_part() {
        let (containers, _) = example::two_networks();
        let asked = Asked { mitmproxy: Some("backend".into()), ..Asked::default() };
        let found = candidates(&asked, Some(&containers), None);
        assert_eq!(names(&found), ["caddy", "backend"]);
        let asked = Asked { mitmproxy: Some("nobody".into()), ..Asked::default() };
        assert_eq!(names(&candidates(&asked, Some(&containers), None)), ["caddy"]);
    }

    #[test]
    fn of_several_setups_the_one_of_this_folder_is_judged() {
        let mut facts = example::facts();
        let all = facts.containers.as_mut().unwrap();
        let mut copies: Vec<Container> = all.0.clone();
        for copy in &mut copies {
            copy.name = format!("other-{}", copy.name);
            copy.compose = Some(crate::model::docker::Compose { project: "other".into(), ..Default::default() });
        }
        all.0.extend(copies);
        facts.asked.folder = Some("other".into());
        let setup = find(&facts).unwrap();
        assert_eq!(names(&setup.caddies), ["other-caddy"]);
        assert_eq!(names(&setup.mitmproxies), ["other-mitmproxy"]);
        assert_eq!(setup.others, ["caddy", "mitmproxy"]);
    }

    #[test]
    fn what_is_left_over_from_something_is_not_judged() {
        let mut facts = example::healthy();
        let all = facts.containers.as_mut().unwrap();
        let mut old = all.named("mitmproxy").unwrap().clone();
        (old.name, old.status, old.networks[0].ip) = ("mitmproxy-old".into(), "exited".into(), None);
        old.networks[0].names = vec!["mitmproxy-old".into()];
        all.0.push(old);
        let setup = find(&facts).unwrap();
        assert_eq!(
            (names(&setup.mitmproxies), setup.others.as_slice()),
            (vec!["mitmproxy"], &["mitmproxy-old".to_owned()][..])
        );
    }

    #[test]
    fn what_was_stopped_while_another_runs_is_left_over_though_the_dials_are_not_known() {
        let with_old = |change: &dyn Fn(&mut Facts, &mut Container)| {
            let mut facts = example::healthy();
            facts.caddies.as_mut().unwrap().0[0].config =
                Err(Missing::failed("GET /config/", Kind::Refused, "connection refused"));
            let mut old = facts.containers.as_ref().unwrap().named("mitmproxy").unwrap().clone();
            (old.name, old.status, old.networks[0].ip) = ("mitmproxy-old".into(), "exited".into(), None);
            old.networks[0].names = vec!["mitmproxy-old".into()];
            change(&mut facts, &mut old);
            facts.containers.as_mut().unwrap().0.push(old);
            find(&facts).unwrap().others
        };
        assert_eq!(with_old(&|_, _| {}), ["mitmproxy-old"]);
        let none = Vec::<String>::new();
        assert_eq!(with_old(&|_, old| old.detail.as_mut().unwrap().exit_code = 1), none, "it ended by itself");
        assert_eq!(with_old(&|_, old| old.status = "paused".into()), none);
        let runs_not = |facts: &mut Facts, _: &mut Container| {
            facts.containers.as_mut().unwrap().0[1].status = "exited".into();
        };
        assert_eq!(with_old(&runs_not), none, "none runs");
        let of_the_folder = |facts: &mut Facts, old: &mut Container| {
            facts.asked.folder = Some("shop".into());
            let compose = crate::model::docker::Compose { project: "shop".into(), ..Default::default() };
            facts.containers.as_mut().unwrap().0[1].compose = Some(compose.clone());
            old.compose = Some(compose);
        };
        assert_eq!(with_old(&of_the_folder), none);
    }

    #[test]
    fn image_names_are_read_without_registry_and_tag() {
        assert_eq!(image_name("registry.example:5000/team/mitmproxy:10@sha256:00"), "mitmproxy");
        assert_eq!(image_name("caddy-exporter:1"), "caddy-exporter");
    }
}
