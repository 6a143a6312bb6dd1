//! The alarms that stand now. Written by the feed, read by probes and people. Decides nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::domain::alarm::Alarm;

/// Which alarms stand.
#[derive(Debug, Default)]
pub struct Alarms(AtomicU32);

impl Alarms {
    /// Raises one, and logs it when it did not stand yet.
    pub fn raise(&self, alarm: Alarm) {
        let before = self.0.fetch_or(bit(alarm), Ordering::Relaxed);
        if before & bit(alarm) == 0 {
            tracing::error!(%alarm, "alarm");
        }
    }

    /// Ends one, and logs it when it stood.
    pub fn end(&self, alarm: Alarm) {
        let before = self.0.fetch_and(!bit(alarm), Ordering::Relaxed);
        if before & bit(alarm) != 0 {
            tracing::info!(%alarm, "the alarm has ended");
        }
    }

    /// Those that stand.
    pub fn standing(&self) -> Vec<Alarm> {
        let bits = self.0.load(Ordering::Relaxed);
        Alarm::ALL.into_iter().filter(|alarm| bits & bit(*alarm) != 0).collect()
    }
}

const fn bit(alarm: Alarm) -> u32 {
    1 << alarm as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alarm_stands_for_itself() {
        let alarms = Alarms::default();
        for alarm in Alarm::ALL {
            alarms.raise(alarm);
        }
        assert_eq!(alarms.standing(), Alarm::ALL);
        alarms.end(Alarm::IssuerForked);
        alarms.end(Alarm::IssuerForked);
        assert_eq!(alarms.standing().len(), Alarm::ALL.len() - 1);
        assert!(!alarms.standing().contains(&Alarm::IssuerForked));
    }
}
