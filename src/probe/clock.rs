//! The engine's time stamps: since when something runs, by the engine's own clock.

use caddy_doctor_checks::model::docker::Containers;

/// Says of each running container for how long it has been running: until `now`, which is what the engine's clock said.
pub(crate) fn age(containers: &mut Containers, now: &str) {
    let Some(now) = seconds(now) else { return };
    for container in &mut containers.0 {
        let runs = container.runs();
        if let Some(detail) = container.detail.as_deref_mut().filter(|_| runs) {
            // One that started after the clock was asked has been running for no time.
            detail.running_s = seconds(&detail.started_at).map(|since| u64::try_from(now - since).unwrap_or(0));
        }
    }
}

/// A time stamp (RFC 3339, as `/info` and inspect give it) in seconds since 1970; `None` when it is none.
fn seconds(stamp: &str) -> Option<i64> {
    let (date, time) = stamp.split_once(['T', 't'])?;
    let numbers = |text: &str, between: char| -> Option<Vec<i64>> {
        text.split(between).map(|number| number.parse::<u16>().ok().map(i64::from)).collect()
    };
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => return None,
    };
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let [hour, minute, second] = numbers(time.split('.').next()?, ':')?[..] else { return None };
    let offset = match offset.split_at(1) {
        ("Z" | "z", _) => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':')?[..] else { return None };
            (if sign == "-" { -60 } else { 60 }) * (hours * 60 + minutes)
        }
    };
    // Days since 1970, with the year beginning in March so that a leap day is its last
    // (`days_from_civil` in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms").
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

#[cfg(test)]
mod tests {
    use caddy_doctor_checks::model::docker::{Container, Detail};

    use super::*;

    #[test]
    fn time_stamps_are_read() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2024-02-29T23:59:59.123456789Z"), Some(1_709_251_199));
        assert_eq!(seconds("2026-07-01T02:00:00.5+02:00"), seconds("2026-06-30T22:30:00-01:30"));
        for none in ["", "yesterday", "2026-01-02", "2026-01-02T03:04", "2026-01-02T03:04:05", "2026-01-02T03:04:05+x"]
        {
            assert_eq!(seconds(none), None, "{none}");
        }
    }

    #[test]
    fn what_runs_has_an_age_and_what_does_not_has_none() {
        let one = |status: &str, started_at: &str| Container {
            status: status.into(),
            detail: Some(Box::new(Detail { started_at: started_at.into(), ..Detail::default() })),
            ..Container::default()
        };
        let mut all = Containers(vec![
            one("running", "2026-01-02T03:04:05.9Z"),
            one("running", "2026-01-02T03:05:00Z"),
            one("exited", "2026-01-02T03:04:05Z"),
        ]);
        age(&mut all, "2026-01-02T04:04:25.1+01:00");
        let ages: Vec<Option<u64>> = all.0.iter().map(|own| own.detail.as_ref().unwrap().running_s).collect();
        assert_eq!(ages, [Some(20), Some(0), None]);
    }
}
