//! Changes of the zone, its RRSets, and the reverse names.

use super::Applying;
use crate::api::model::{RRSet, Record, Zone};
use crate::dns::{RrSetWish, comment};
use crate::plan::Change;
use anyhow::Result;
use serde_json::{Value, json};

impl Applying<'_> {
    pub(super) async fn apply_dns(&self, change: &Change) -> Result<()> {
        match change {
            Change::CreateZone { name } => {
                let body = json!({ "name": name, "mode": "primary" });
                let zone = self.create::<Zone>("/zones", "zone", name, body).await?;
                self.all.world().zone = Some(zone);
                Ok(())
            }
            Change::CreateRecords { records } => self.create_records(records).await,
            Change::SetRecords { records } => {
                let body = json!({ "records": self.values(records)? });
                Ok(self.act(&format!("{}/actions/set_records", self.rrset(records)?), body).await?)
            }
            Change::AddRecords { records } => {
                let body = json!({ "records": self.values(records)? });
                let path = format!("{}/actions/add_records", self.rrset(records)?);
                match self.act(&path, body).await {
                    // A lost reply had been done: the values are there.
                    Err(error) if error.code() == Some("uniqueness_error") => Ok(()),
                    other => Ok(other?),
                }
            }
            Change::RemoveRecords { name, kind, values } => {
                let path = format!("{}/rrsets/{name}/{kind}/actions/remove_records", self.zone()?);
                Ok(self.act(&path, json!({ "records": values })).await?)
            }
            Change::SetTtl { name, kind, ttl } => {
                let path = format!("{}/rrsets/{name}/{kind}/actions/change_ttl", self.zone()?);
                Ok(self.act(&path, json!({ "ttl": ttl })).await?)
            }
            Change::DeleteRecords { name, kind } => {
                let path = format!("{}/rrsets/{name}/{kind}", self.zone()?);
                let answer = self.all.client.delete(&self.doing, &path).await?;
                Ok(self.all.client.finish(&self.doing, &answer, super::ACTION_LIMIT).await?)
            }
            _ => Ok(()),
        }
    }

    /// An RRSet is known by its name and type, so a taken one is ours if it carries our labels.
    async fn create_records(&self, records: &RrSetWish) -> Result<()> {
        let body = json!({
            "name": records.name, "type": records.kind, "ttl": records.ttl,
            "records": self.values(records)?, "labels": self.all.names.labels(),
        });
        let (path, own) = (format!("{}/rrsets", self.zone()?), self.rrset(records)?);
        let look = async || match self.all.client.get::<RRSet>(&self.doing, &own, "rrset").await {
            Ok(found) => Ok(self.all.names.own(&found.labels).then_some(found)),
            Err(error) if error.code() == Some("not_found") => Ok(None),
            Err(error) => Err(error),
        };
        self.all
            .client
            .create_or_adopt(&self.doing, &path, "rrset", &body, super::ACTION_LIMIT, look)
            .await?;
        Ok(())
    }

    pub(super) async fn set_reverse(&self, family: &str, name: &str) -> Result<()> {
        let (ip, addresses) = {
            let world = self.all.world();
            (world.ip(family).map(|ip| ip.id), world.addresses())
        };
        let address = match family {
            "ipv4" => addresses.ipv4.map(|ip| ip.to_string()),
            _ => addresses.ipv6.map(|ip| ip.to_string()),
        };
        let (Some(ip), Some(address)) = (ip, address) else {
            return Err(self.missing(&format!("the server has no {family} address")));
        };
        let body = json!({ "ip": address, "dns_ptr": name });
        Ok(self.act(&format!("/primary_ips/{ip}/actions/change_dns_ptr"), body).await?)
    }

    fn values(&self, records: &RrSetWish) -> Result<Vec<Value>> {
        let comment = comment(&self.all.inputs.project.name);
        let record = |value| json!(Record { value, comment: Some(comment.clone()) });
        let values = records.values(self.all.world().addresses());
        let values = values.ok_or_else(|| self.missing("the server's addresses are not known"))?;
        Ok(values.into_iter().map(record).collect())
    }

    fn rrset(&self, records: &RrSetWish) -> Result<String> {
        Ok(format!("{}/rrsets/{}/{}", self.zone()?, records.name, records.kind))
    }

    fn zone(&self) -> Result<String> {
        let world = self.all.world();
        let zone = world.zone.as_ref().ok_or_else(|| self.missing("there is no zone"))?;
        Ok(format!("/zones/{}", zone.id))
    }
}
