//! The byte forms of the register's rows. A newer issuer's row may say more than is read here.

use std::time::Duration;

use common::{
    revocation::cursor::Cursor,
    token::kind::{PerType, TokenType},
};
use serde::{Deserialize, Serialize};

use super::{Record, millis};
use crate::domain::{
    followers::{Follower, Row, Tenure},
    rounds::IssuerRow,
};

#[derive(Deserialize, Serialize)]
pub(in crate::adapters::store) struct RowForm {
    id: String,
    instance: u64,
    limits: [u64; 3],
    #[serde(default)]
    tenure: (u64, u64),
    #[serde(default)]
    acknowledged: (u64, u64),
}

impl Record for Row {
    type Form = RowForm;

    fn form(&self) -> RowForm {
        let limits = TokenType::ALL.map(|kind| millis(*self.limits.get(kind)));
        RowForm {
            id: self.follower.id.clone(),
            instance: self.follower.instance,
            limits,
            tenure: (self.tenure.issuer, self.tenure.session),
            acknowledged: (self.acknowledged.epoch, self.acknowledged.sequence),
        }
    }

    fn read(form: RowForm) -> Option<Self> {
        let [pseudonymisation, reverse, secondary] = form.limits.map(Duration::from_millis);
        let limits = PerType { pseudonymisation, reverse, secondary };
        let follower = Follower { id: form.id, instance: form.instance };
        let tenure = Tenure { issuer: form.tenure.0, session: form.tenure.1 };
        let acknowledged = Cursor::new(form.acknowledged.0, form.acknowledged.1);
        Some(Self { follower, limits, tenure, acknowledged })
    }
}

#[derive(Deserialize, Serialize)]
pub(in crate::adapters::store) struct IssuerForm {
    id: u64,
    name: String,
    keys: Vec<String>,
    /// Older builds do not write it, and pass over it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    after_loss: bool,
}

impl Record for IssuerRow {
    type Form = IssuerForm;

    fn form(&self) -> IssuerForm {
        let keys = self.keys.iter().map(ToString::to_string).collect();
        IssuerForm { id: self.id, name: self.name.clone(), keys, after_loss: self.after_loss }
    }

    fn read(form: IssuerForm) -> Option<Self> {
        let keys = form.keys.iter().map(|key| key.parse().ok()).collect::<Option<_>>()?;
        Some(Self { id: form.id, name: form.name, keys, after_loss: form.after_loss })
    }
}
