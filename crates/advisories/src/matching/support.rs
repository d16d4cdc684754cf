//! Until when distributions publish advisories for a release: with long-term support where that is free and public.
//!
//! Debian's and Ubuntu's dates are those of Debian's package distro-info-data 0.58+deb12u6 (Debian with its LTS, Ubuntu without
//! ESM). The others are those that endoflife.date gathers from the distributions' pages (its repository as of February 2026);
//! Red Hat 10's and Rocky Linux 10's are that of AlmaLinux 10, which follows the same lifecycle. A release that is not here is newer than this table or too
//! old for it, or its end is not fixed (Mageia 9); the database's own releases decide then.

use proofmark_types::UnixTime;

/// Whether advisories are still published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// They are.
    Current,
    /// Not since that day.
    Ended {
        /// The last day, as `YYYY-MM-DD`.
        on: &'static str,
    },
    /// Not known here.
    Unknown,
}

const ENDS: [(&str, &str, &str); 62] = [
    ("Debian", "7", "2018-05-31"),
    ("Debian", "8", "2020-06-30"),
    ("Debian", "9", "2022-06-30"),
    ("Debian", "10", "2024-06-30"),
    ("Debian", "11", "2026-08-31"),
    ("Debian", "12", "2028-06-30"),
    ("Debian", "13", "2030-06-30"),
    ("Ubuntu", "14.04", "2019-04-25"),
    ("Ubuntu", "16.04", "2021-04-30"),
    ("Ubuntu", "18.04", "2023-05-31"),
    ("Ubuntu", "18.10", "2019-07-18"),
    ("Ubuntu", "19.04", "2020-01-23"),
    ("Ubuntu", "19.10", "2020-07-17"),
    ("Ubuntu", "20.04", "2025-05-29"),
    ("Ubuntu", "20.10", "2021-07-22"),
    ("Ubuntu", "21.04", "2022-01-20"),
    ("Ubuntu", "21.10", "2022-07-14"),
    ("Ubuntu", "22.04", "2027-06-01"),
    ("Ubuntu", "22.10", "2023-07-20"),
    ("Ubuntu", "23.04", "2024-01-25"),
    ("Ubuntu", "23.10", "2024-07-11"),
    ("Ubuntu", "24.04", "2029-05-31"),
    ("Ubuntu", "24.10", "2025-07-10"),
    ("Ubuntu", "25.04", "2026-01-15"),
    ("Ubuntu", "25.10", "2026-07-09"),
    ("Ubuntu", "26.04", "2031-05-29"),
    ("Alpine", "v3.8", "2020-05-01"),
    ("Alpine", "v3.9", "2020-11-01"),
    ("Alpine", "v3.10", "2021-05-01"),
    ("Alpine", "v3.11", "2021-11-01"),
    ("Alpine", "v3.12", "2022-05-01"),
    ("Alpine", "v3.13", "2022-11-01"),
    ("Alpine", "v3.14", "2023-05-01"),
    ("Alpine", "v3.15", "2023-11-01"),
    ("Alpine", "v3.16", "2024-05-23"),
    ("Alpine", "v3.17", "2024-11-22"),
    ("Alpine", "v3.18", "2025-05-09"),
    ("Alpine", "v3.19", "2025-11-01"),
    ("Alpine", "v3.20", "2026-04-01"),
    ("Alpine", "v3.21", "2026-11-01"),
    ("Alpine", "v3.22", "2027-05-01"),
    ("Alpine", "v3.23", "2027-11-01"),
    ("AlmaLinux", "8", "2029-03-01"),
    ("AlmaLinux", "9", "2032-05-31"),
    ("AlmaLinux", "10", "2035-05-31"),
    ("Rocky Linux", "8", "2029-05-31"),
    ("Rocky Linux", "9", "2032-05-31"),
    ("Rocky Linux", "10", "2035-05-31"),
    ("Red Hat", "5", "2017-03-31"),
    ("Red Hat", "6", "2020-11-30"),
    ("Red Hat", "7", "2024-06-30"),
    ("Red Hat", "8", "2029-05-31"),
    ("Red Hat", "9", "2032-05-31"),
    ("Red Hat", "10", "2035-05-31"),
    ("openSUSE", "Leap 15.2", "2022-01-04"),
    ("openSUSE", "Leap 15.3", "2022-12-31"),
    ("openSUSE", "Leap 15.4", "2023-12-07"),
    ("openSUSE", "Leap 15.5", "2024-12-31"),
    ("openSUSE", "Leap 15.6", "2026-04-30"),
    ("openSUSE", "Leap 16.0", "2027-10-31"),
    ("Mageia", "7", "2021-06-30"),
    ("Mageia", "8", "2023-11-30"),
];

/// Of a release, at a time.
pub(super) fn of(ecosystem: &str, release: &str, now: UnixTime) -> Support {
    let found = ENDS.iter().find(|(name, of, _)| *name == ecosystem && *of == release);
    let Some((_, _, on)) = found else {
        return Support::Unknown;
    };
    // The last day is still supported, everywhere on earth.
    match UnixTime::parse(&format!("{on}T23:59:59-12:00")) {
        Ok(last) if now <= last => Support::Current,
        Ok(_) => Support::Ended { on },
        Err(_) => Support::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_supported_and_the_next_is_not() {
        let at = |text: &str| of("Debian", "11", UnixTime::parse(text).unwrap());
        assert_eq!(at("2026-08-31T23:00:00Z"), Support::Current);
        assert_eq!(at("2026-09-02T00:00:00Z"), Support::Ended { on: "2026-08-31" });
        let now = UnixTime::parse("2026-11-21T00:00:00Z").unwrap();
        assert_eq!(of("Debian", "99", now), Support::Unknown);
        // distro-info-data: what is written from memory is one day off.
        for (ecosystem, release, last, next) in [
            ("Ubuntu", "20.04", "2025-05-29", "2025-05-31"),
            ("Ubuntu", "22.04", "2027-06-01", "2027-06-03"),
            ("Ubuntu", "25.10", "2026-07-09", "2026-07-11"),
        ] {
            let at = |day: &str| {
                of(
                    ecosystem,
                    release,
                    UnixTime::parse(&format!("{day}T12:00:00Z")).unwrap(),
                )
            };
            assert_eq!((at(last), at(next)), (Support::Current, Support::Ended { on: last }));
        }
        for (ecosystem, release, _) in ENDS {
            assert_ne!(
                of(ecosystem, release, UnixTime::EPOCH),
                Support::Unknown,
                "{ecosystem} {release}"
            );
        }
    }
}
