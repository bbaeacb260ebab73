use crate::model::{
    Action, Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Part, Paths, Place, Role, Setup, Verdict,
    caddy::Caddies,
    docker::{Container, Containers, EngineSeen, Image, Images, Program},
    facts::{Attempt, Kind},
    fix::ApiAt,
    mitmproxy::Mitmproxies,
    path::HopKind,
    setup::PartKind,
    text,
};

check! {
    /// Is the running image what it should be?
    ///
    /// ## What it looks at
    /// The platform of every part's image, compared with the engine's; the versions of Caddy and mitmproxy; and
    /// whether the name that Caddy dials is also the name of a mitmproxy of another compose project.
    ///
    /// Caddy's version is `CADDY_VERSION` of its image (the admin API does not tell it), mitmproxy's is what mitmweb
    /// says of itself, or, of mitmdump, the tag of the official image.
    ///
    /// ## Why it matters
    /// An image of another platform runs under emulation: everything takes several times as long. Options, APIs and
    /// defaults differ between versions: the doctor knows those of Caddy 2.4 to 2.11 and of mitmproxy 8 to 12. And
    /// where two copies of a compose project share a network, both have a `mitmproxy` on it: requests end in either.
    ///
    /// ## What it does not blame
    /// The tag `latest` as such, and a Caddy of one project in front of a mitmproxy of another: both are common, and
    /// work.
    ///
    /// ## How to fix it
    /// Pin the tag to a version that was tested. Take the image of the engine's platform (`--platform`, in compose
    /// `platform:`). Dial the container of one's own project by its container name, which no other has.
    id: "image",
    group: Containers,
    after: ["setup-found"],
    needs: [
        Setup, Containers, Attempt<Images>, Attempt<EngineSeen>, Attempt<Caddies>, Attempt<Mitmproxies>, Attempt<Paths>,
    ],
    run: run,
}

fn run(
    setup: &Setup,
    containers: &Containers,
    images: Result<&Images, &Missing>,
    engine: Result<&EngineSeen, &Missing>,
    caddies: Result<&Caddies, &Missing>,
    mitmproxies: Result<&Mitmproxies, &Missing>,
    paths: Result<&Paths, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let engine = engine_architecture(engine);
    let (mut versions, mut natives, mut of_containers) = (Vec::new(), 0, 0);
    for part in setup.parts() {
        let container = containers.named(&part.name).filter(|_| part.kind == PartKind::Container);
        let image = container.and_then(|container| image_of(images, container));
        let known = image.as_ref().and_then(|image| image.as_ref().ok()).copied();
        let said = match part.role {
            Role::Caddy => caddies.ok().and_then(|all| all.named(&part.name)).and_then(|seen| seen.version.as_deref()),
            Role::Mitmproxy => {
                mitmproxies.ok().and_then(|all| all.named(&part.name)).and_then(|seen| seen.version.as_deref())
            }
        };
        let planned = container.is_some_and(Container::is_planned);
        let version = version(part.role, said, container, known)
            .map(|(own, how)| (own, if planned { "by its image" } else { how }));
        let shown = version.as_ref().map_or_else(
            || "an unknown version".to_owned(),
            |(version, how)| format!("{} {version}, {how}", program(part.role)),
        );
        let from = container.map(|container| format!(" (image {})", container.image)).unwrap_or_default();
        verdict.evidence.push(Evidence::new(&part.name, format!("{shown}{from}")));
        if let Some((version, how)) = version {
            if !was_tested(part.role, &version) {
                verdict.findings.push(untested(part, container, &version, how));
            }
            let shown = format!("{} {version}", program(part.role));
            if !versions.contains(&shown) {
                versions.push(shown);
            }
        }
        let Some(container) = container else { continue };
        of_containers += 1;
        if let Some(missing) = container.not_inspected.as_ref().filter(|_| container.is_planned()) {
            match missing.root() {
                Missing::Failed { kind: Kind::NotFound, why, .. } => {
                    verdict.evidence.push(Evidence::new(&part.name, format!("{}: {why}", container.image)));
                }
                _ => verdict.gaps.push(Gap::about([&part.name], missing.to_string())),
            }
            continue;
        }
        match (image, &engine) {
            (Some(Ok(image)), Some(Ok(engine))) => match platform(container, image, engine) {
                Some(finding) => verdict.findings.push(finding),
                None => natives += usize::from(go_architecture(&image.architecture).is_some()),
            },
            (Some(Err(why)), _) => verdict.gaps.push(Gap::about([&part.name], why)),
            (Some(Ok(_)), Some(Err(why))) => verdict.gaps.push(Gap::about([&part.name], why)),
            (None, _) | (_, None) => {
                verdict.evidence.push(Evidence::new(&part.name, "the platform of its image was not looked at"));
            }
        }
    }
    for hop in paths.into_iter().flat_map(Paths::relevant) {
        verdict.findings.extend(of_another_project(setup, containers, caddies.ok(), hop));
    }
    if of_containers == 0 && versions.is_empty() {
        return Verdict::not_applicable("no part runs in a container, and no version is known");
    }
    verdict.summary = if versions.is_empty() { "no version is known".to_owned() } else { text::list(&versions) };
    if of_containers > 0 && natives == of_containers {
        verdict.summary.push_str(", in images of the engine's platform");
    }
    verdict
}

fn program(role: Role) -> &'static str {
    match role {
        Role::Caddy => "Caddy",
        Role::Mitmproxy => "mitmproxy",
    }
}

/// What the engine's machine is, in Go's words; `None` when it was not asked, as in a recording of an older doctor.
fn engine_architecture(engine: Result<&EngineSeen, &Missing>) -> Option<Result<&'static str, String>> {
    let not_known = |why: String| Err(format!("the platform of the engine is not known: {why}"));
    Some(match engine.and_then(|seen| seen.answer.as_ref()).map(|engine| engine.info.as_ref()) {
        Ok(None) => return None,
        Ok(Some(Ok(info))) => go_architecture(&info.architecture)
            .map_or_else(|| not_known(format!("the doctor does not know `{}`", info.architecture)), Ok),
        Ok(Some(Err(missing))) | Err(missing) => not_known(missing.to_string()),
    })
}

/// The image that a container runs; `None` when images were not asked for at all.
fn image_of<'i>(images: Result<&'i Images, &Missing>, container: &Container) -> Option<Result<&'i Image, String>> {
    let name = &container.name;
    Some(match images.map(|images| images.of(container)) {
        Err(Missing::NotAsked) => return None,
        Ok(Some(Ok(image))) => Ok(image),
        Ok(Some(Err(missing))) | Err(missing) => Err(format!("the image of {name} could not be looked at: {missing}")),
        Ok(None) => Err(format!("the image of {name} was not looked at")),
    })
}

/// The kernel's word, or Go's own (Podman says that), in Go's words.
fn go_architecture(word: &str) -> Option<&'static str> {
    Some(match word {
        "x86_64" | "amd64" => "amd64",
        "aarch64" | "arm64" => "arm64",
        "armv6l" | "armv7l" | "arm" => "arm",
        "i386" | "i686" | "386" => "386",
        "ppc64le" => "ppc64le",
        "riscv64" => "riscv64",
        "s390x" => "s390x",
        _ => return None,
    })
}

fn platform(container: &Container, image: &Image, engine: &str) -> Option<Finding> {
    let (name, of_image) = (&container.name, go_architecture(&image.architecture)?);
    // Most 64 bit processors run the 32 bit code of their kind by themselves.
    if of_image == engine || matches!((of_image, engine), ("386", "amd64") | ("arm", "arm64")) {
        return None;
    }
    let wanted = format!("linux/{engine}");
    Some(
        Finding::warn(
            [name],
            format!("{name} is emulated: its image is for {of_image}, and the engine runs on {engine}"),
        )
        .seen("image", format!("{}, {}/{of_image}", container.image, image.os))
        .seen("engine", engine)
        .fix(
            Fix::new(
                format!("take the image for {wanted}, where its registry has one, and make {name} anew"),
                Action::Manual,
            )
            .edit(line(container, &format!("platform: {wanted}"), &format!("--platform {wanted}"))),
        ),
    )
}

/// A line for the service in the compose file, or else what belongs into the command that runs the container.
fn line(container: &Container, yaml: &str, option: &str) -> Edit {
    match container.compose.as_ref().and_then(|compose| Some((compose, compose.files.last()?))) {
        Some((compose, file)) => Edit {
            file: file.clone(),
            language: "yaml",
            text: format!("services:\n  {}:\n    {yaml}\n", compose.service),
        },
        None => Edit { file: format!("the docker run of {}", container.name), language: "sh", text: option.to_owned() },
    }
}

/// Name and tag of an image, without its digest.
fn name_and_tag(image: &str) -> (&str, Option<&str>) {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    }
}

fn is_official(role: Role, image: &str) -> bool {
    let name = name_and_tag(image).0.trim_start_matches("docker.io/").trim_start_matches("library/");
    name == match role {
        Role::Caddy => "caddy",
        Role::Mitmproxy => "mitmproxy/mitmproxy",
    }
}

/// The version, and who says so. Labels and tags count on the official images only: on others they mean something else.
fn version(
    role: Role,
    said: Option<&str>,
    container: Option<&Container>,
    image: Option<&Image>,
) -> Option<(String, &'static str)> {
    let (said, how) = match (said, role) {
        (Some(said), Role::Caddy) => (said, "by CADDY_VERSION of its image"),
        (Some(said), Role::Mitmproxy) => (said, "as it says itself"),
        (None, _) if !is_official(role, &container?.image) => return None,
        (None, Role::Caddy) => (image?.version.as_deref()?, "by the label of its image"),
        (None, Role::Mitmproxy) => (name_and_tag(&container?.image).1?, "by the tag of its image"),
    };
    let said = said.trim_start_matches('v');
    said.starts_with(|c: char| c.is_ascii_digit()).then(|| (said.to_owned(), how))
}

fn was_tested(role: Role, version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next(), parts.next());
    match (role, major) {
        (Role::Caddy, Some(2)) => minor.is_none_or(|minor| (4..=11).contains(&minor)),
        (Role::Caddy, Some(_)) => false,
        (Role::Mitmproxy, Some(major)) => (8..=12).contains(&major),
        (_, None) => true, // no number, so nothing can be said
    }
}

fn untested(part: &Part, container: Option<&Container>, version: &str, how: &str) -> Finding {
    let (name, program) = (&part.name, program(part.role));
    let (tested, pinned) = match part.role {
        Role::Caddy => ("2.4 to 2.11", "caddy:2.11"),
        Role::Mitmproxy => ("8 to 12", "mitmproxy/mitmproxy:12.2.3"),
    };
    let moves = container.is_some_and(|own| matches!(name_and_tag(&own.image).1, None | Some("latest")));
    let by_tag = if moves { ", which came with the tag latest" } else { "" };
    let summary =
        format!("{name} runs {program} {version}{by_tag}; the doctor was tested with {program} {tested} only");
    let finding = Finding::warn([name], summary).seen("version", format!("{version}, {how}"));
    let Some(container) = container else { return finding };
    let finding = finding.seen("image", &container.image);
    let fix = Fix::new(format!("pin {name} to a version that was tested ({tested}), and make it anew"), Action::Manual);
    if is_official(part.role, &container.image) {
        finding.fix(fix.edit(line(container, &format!("image: {pinned}"), pinned)))
    } else {
        finding.fix(fix)
    }
}

/// Two copies of a project on one network both answer to the names of their services.
///
/// Only a name that a mitmproxy of Caddy's own project has as well is suspicious: else the other project was meant.
fn of_another_project(setup: &Setup, containers: &Containers, caddies: Option<&Caddies>, hop: &Hop) -> Option<Finding> {
    let Place::Container(place) = &hop.place else { return None };
    let (caddy, place) = (containers.named(&hop.from)?, containers.named(place)?);
    let project = |container: &Container| container.compose.as_ref().map(|compose| compose.project.clone());
    let (own_project, host) = (project(caddy)?, hop.dial.host.trim_end_matches('.'));
    if hop.kind != HopKind::Upstream || host.is_empty() {
        return None;
    }
    let is_mitmproxy = |container: &&Container| {
        matches!(container.program, Some(Program::Mitmproxy(_))) || container.role_label.as_deref() == Some("mitmproxy")
    };
    let reached = |container: &Container| {
        let mut shared = place.networks.iter().filter_map(|attached| container.on(&attached.network));
        container.runs() && shared.any(|there| there.answers_to(host))
    };
    let having = || containers.0.iter().filter(is_mitmproxy).filter(|other| other.answers_to(host));
    let own = having().find(|other| project(other).as_ref() == Some(&own_project))?;
    let other =
        having().find(|other| reached(other) && project(other).is_some_and(|project| project != own_project))?;
    let (other_project, from) = (project(other)?, &hop.from);
    let summary = if reached(own) {
        format!(
            "{host}, which {from} dials, is {} of its own project {own_project} and {} of project {other_project}: \
             requests go to either",
            own.name, other.name
        )
    } else {
        format!(
            "{host}, which {from} dials, is {} of project {other_project}, not {} of its own project {own_project}",
            other.name, own.name
        )
    };
    let networks = |container: &Container| {
        text::list(&container.networks.iter().map(|attached| attached.network.as_str()).collect::<Vec<_>>())
    };
    let finding = Finding::warn([from, &own.name, &other.name], summary)
        .on(hop)
        .seen(format!("{}'s networks", own.name), networks(own))
        .seen(format!("{}'s networks", other.name), networks(other));
    let (Some(port), true) = (hop.dial.port, reached(own) && own.name != host) else { return Some(finding) };
    let dial = text::join_port(&own.name, port);
    let title = format!("dial {dial}: no other container has that name");
    let caddy = caddies.and_then(|all| all.named(from)).zip(setup.part(from)).zip(hop.config_path.as_ref());
    let action = caddy.map_or(Action::Manual, |((caddy, part), path)| Action::SetDial {
        at: ApiAt::of(part, &caddy.admin),
        config_path: path.clone(),
        dial: dial.clone(),
        old: Some(hop.dial.to_string()),
    });
    let lasting =
        Edit { file: format!("{from}'s Caddyfile"), language: "caddyfile", text: format!("reverse_proxy {dial}") };
    Some(finding.fix(Fix::new(title, action).edit(lasting)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context, Facts, Severity,
        docker::{Attachment, Compose, EngineInfo, ImageSeen},
        example,
        facts::Kind,
    };

    /// Official images of tested versions, on a machine of their kind.
    fn facts() -> Facts {
        let mut facts = example::healthy();
        let all = &mut facts.containers.as_mut().unwrap().0;
        for (container, image) in all.iter_mut().zip(["caddy:2.9-alpine", "mitmproxy/mitmproxy:latest"]) {
            container.image = image.into();
            container.detail.as_mut().unwrap().image_id = format!("sha256:{}", container.name);
        }
        let seen = |name: &str| ImageSeen {
            id: format!("sha256:{name}"),
            image: Ok(Image { architecture: "amd64".into(), os: "linux".into(), version: None }),
        };
        facts.images = Ok(Images(vec![seen("caddy"), seen("mitmproxy")]));
        facts.caddies.as_mut().unwrap().0[0].version = Some("2.9.1".into());
        on_engine(&mut facts, "x86_64");
        facts
    }

    fn on_engine(facts: &mut Facts, architecture: &str) {
        let info = EngineInfo { architecture: architecture.into(), ..EngineInfo::default() };
        facts.engine.as_mut().unwrap().answer.as_mut().unwrap().info = Some(Ok(info));
    }

    fn judged(change: impl FnOnce(&mut Facts)) -> Verdict {
        let mut facts = facts();
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    #[test]
    fn tested_versions_on_the_engines_platform_pass() {
        let verdict = judged(|_| {});
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert_eq!(verdict.summary, "Caddy 2.9.1 and mitmproxy 10.4.2, in images of the engine's platform");
    }

    #[test]
    fn another_platform_is_emulated() {
        let verdict = judged(|facts| on_engine(facts, "aarch64"));
        assert_eq!(verdict.worst(), Some(Severity::Warn));
        assert_eq!(
            verdict.findings[0].summary,
            "caddy is emulated: its image is for amd64, and the engine runs on arm64"
        );
        assert_eq!(verdict.findings[0].fixes[0].edits[0].text, "--platform linux/arm64");
    }

    #[test]
    fn an_untested_version_warns_and_names_the_tag_that_moves() {
        let verdict = judged(|facts| facts.mitmproxies.as_mut().unwrap().0[0].version = Some("13.0.0".into()));
        assert_eq!(
            verdict.findings[0].summary,
            "mitmproxy runs mitmproxy 13.0.0, which came with the tag latest; \
             the doctor was tested with mitmproxy 8 to 12 only"
        );
        let text = &verdict.findings[0].fixes[0].edits[0].text;
        assert_eq!(text, "mitmproxy/mitmproxy:12.2.3");
        let old = judged(|facts| facts.caddies.as_mut().unwrap().0[0].version = Some("2.3.0".into()));
        assert_eq!(
            old.findings[0].summary,
            "caddy runs Caddy 2.3.0; the doctor was tested with Caddy 2.4 to 2.11 only"
        );
    }

    #[test]
    fn a_tag_tells_the_version_of_the_official_image_only() {
        let with_image = |image: &str| {
            judged(|facts| {
                facts.mitmproxies.as_mut().unwrap().0[0].version = None;
                facts.containers.as_mut().unwrap().0[1].image = image.into();
            })
        };
        assert_eq!(with_image("docker.io/mitmproxy/mitmproxy:7.0.4").worst(), Some(Severity::Warn));
        let verdict = with_image("registry.example:5000/team/mitmproxy:1");
        assert_eq!(
            (verdict.worst(), verdict.summary.as_str()),
            (None, "Caddy 2.9.1, in images of the engine's platform")
        );
    }

    #[test]
    fn what_could_not_be_looked_at_is_a_gap() {
        let failed = || Missing::failed("GET /images/x/json", Kind::TimedOut, "no answer");
        assert_eq!(judged(|facts| facts.images = Err(failed())).gaps.len(), 2);
        let with_info = |info| {
            let verdict = judged(|facts| facts.engine.as_mut().unwrap().answer.as_mut().unwrap().info = info);
            assert!(!verdict.summary.contains("platform"), "{}", verdict.summary);
            verdict.gaps.len()
        };
        assert_eq!((with_info(Some(Err(failed()))), with_info(None)), (2, 0));
    }

    /// Caddy of project a; a mitmproxy of project b on its network, and one of project a on `network`.
    fn two_projects(network: &str, own_name: &str) -> Verdict {
        judged(|facts| {
            let all = &mut facts.containers.as_mut().unwrap().0;
            let mut own = all[1].clone();
            let of = |project: &str| Some(Compose { project: project.into(), ..Compose::default() });
            own.name = "a-mitmproxy-1".into();
            own.networks = vec![Attachment {
                network: network.into(),
                ip: Some(example::ip("172.20.0.9")),
                gateway: None,
                names: vec!["a-mitmproxy-1".into(), own_name.into()],
            }];
            (all[0].compose, all[1].compose, own.compose) = (of("a"), of("b"), of("a"));
            all.push(own);
        })
    }

    #[test]
    fn the_name_of_two_projects_is_suspicious() {
        let finding = two_projects("app-net", "mitmproxy").findings.remove(0);
        assert_eq!(
            finding.summary,
            "mitmproxy, which caddy dials, is a-mitmproxy-1 of its own project a and mitmproxy of project b: \
             requests go to either"
        );
        assert!(finding.fixes[0].action.commands()[0].contains("\"a-mitmproxy-1:8080\""));
        let finding = two_projects("a-net", "mitmproxy").findings.remove(0);
        assert_eq!(
            finding.summary,
            "mitmproxy, which caddy dials, is mitmproxy of project b, not a-mitmproxy-1 of its own project a"
        );
    }

    #[test]
    fn projects_that_were_joined_on_purpose_are_not() {
        assert_eq!(two_projects("app-net", "recorder").worst(), None);
    }
}
