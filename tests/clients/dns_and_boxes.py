"""Hetzner's own Python client (`hcloud`) through the whole life of a zone and of a storage box.

The rehearsal cloud is at HCLOUD_ENDPOINT (with /v1) and takes the token HCLOUD_TOKEN. Every step is printed; the
first thing that is not as at Hetzner ends the script with an error.
"""

import os
import time

from hcloud import APIException, Client
from hcloud.locations import Location
from hcloud.storage_box_types import StorageBoxType
from hcloud.storage_boxes import (
    StorageBoxAccessSettings,
    StorageBoxSnapshot,
    StorageBoxSnapshotPlan,
    StorageBoxSubaccountAccessSettings,
)
from hcloud.zones import Zone, ZonePrimaryNameserver, ZoneRecord, ZoneRRSet

ENDPOINT = os.environ["HCLOUD_ENDPOINT"]
UNIQUE = f"{time.time_ns():x}"
PASSWORD = "Correct-Horse-7"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL a comment"
ZONEFILE = """$ORIGIN {name}.
$TTL 7200
@ IN SOA hydrogen.ns.hetzner.com. dns.hetzner.com. (
    2024010100 ; serial
    86400 10800 3600000 3600 )
  IN NS hydrogen.ns.hetzner.com. ; Some comment.
  IN NS oxygen.ns.hetzner.com.
  IN NS helium.ns.hetzner.de.
mail 300 IN MX 10 mx1
"""


def step(text):
    print(f"- {text}")


def same(found, expected):
    assert found == expected, f"found {found!r} and not {expected!r}"


def refused(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except APIException as error:
        same(error.code, code)
    else:
        raise AssertionError(f"{call.__name__} was not refused with {code}")


def values(rrset):
    return [record.value for record in rrset.records]


def primary_zone(client):
    name = f"{UNIQUE}.example"
    www = ZoneRRSet(name="www", type="A", ttl=60, records=[ZoneRecord("192.0.2.1", comment="web")])
    step(f"create zone {name} with an RRSet")
    made = client.zones.create(name=name, mode="primary", ttl=3600, labels={"run": UNIQUE}, rrsets=[www])
    made.action.wait_until_finished()
    zone = client.zones.get(name)
    same((zone.id, zone.status, zone.ttl, zone.record_count), (made.zone.id, "ok", 3600, 5))
    same(len(zone.authoritative_nameservers.assigned), 3)
    same([z.name for z in client.zones.get_all(label_selector=f"run={UNIQUE}", mode="primary")], [name])
    refused("uniqueness_error", client.zones.create, name=name, mode="primary")

    step("create, list, label and get RRSets")
    created = zone.create_rrset(
        name="@", type="TXT", labels={"a": "b"}, records=[ZoneRecord('"v=spf1 mx -all"', comment="mail")]
    )
    created.action.wait_until_finished()
    same(created.rrset.id, "@/TXT")
    same([s.id for s in zone.get_rrset_all(type=["A", "TXT"])], ["@/TXT", "www/A"])
    rrset = zone.get_rrset("www", "A")
    same((rrset.ttl, values(rrset), rrset.records[0].comment), (60, ["192.0.2.1"], "web"))
    same(rrset.update_rrset(labels={"x": "y"}).labels, {"x": "y"})
    refused("uniqueness_error", zone.create_rrset, name="@", type="TXT", records=[ZoneRecord('"x"')])
    refused("invalid_input", zone.create_rrset, name="bare", type="TXT", records=[ZoneRecord("not quoted")])

    step("add, comment, set and remove records")
    rrset.add_rrset_records(records=[ZoneRecord("192.0.2.2")]).wait_until_finished()
    refused("invalid_input", rrset.add_rrset_records, records=[ZoneRecord("192.0.2.3")], ttl=120)
    rrset.update_rrset_records(records=[ZoneRecord("192.0.2.2", comment="two")]).wait_until_finished()
    rrset.change_rrset_ttl(ttl=None).wait_until_finished()
    rrset = zone.get_rrset("www", "A")
    same((rrset.ttl, values(rrset), rrset.records[1].comment), (None, ["192.0.2.1", "192.0.2.2"], "two"))
    rrset.set_rrset_records(records=[ZoneRecord("192.0.2.9")]).wait_until_finished()
    same(values(zone.get_rrset("www", "A")), ["192.0.2.9"])
    rrset.change_rrset_protection(change=True).wait_until_finished()
    refused("protected", rrset.delete_rrset)
    refused("protected", zone.import_zonefile, ZONEFILE.format(name=name))
    rrset.change_rrset_protection(change=False).wait_until_finished()
    rrset.remove_rrset_records(records=[ZoneRecord("192.0.2.9")]).wait_until_finished()
    refused("not_found", zone.get_rrset, "www", "A")
    rrset.add_rrset_records(records=[ZoneRecord("192.0.2.9")], ttl=90).wait_until_finished()
    same(zone.get_rrset("www", "A").ttl, 90)
    rrset.delete_rrset().action.wait_until_finished()

    step("import and export a zone file")
    zone.import_zonefile(ZONEFILE.format(name=name)).wait_until_finished()
    same(values(zone.get_rrset("mail", "MX")), ["10 mx1"])
    same(zone.get_rrset("mail", "MX").ttl, 300)
    refused("invalid_input", zone.import_zonefile, "www A nonsense")
    text = zone.export_zonefile().zonefile
    assert f"$ORIGIN\t{name}.\n$TTL\t7200\n" in text and "; Some comment." in text, text
    zone.import_zonefile(text).wait_until_finished()

    step("change TTL, labels and protection, and delete")
    zone.change_ttl(1800).wait_until_finished()
    same(zone.update(labels={}).labels, {})
    zone.change_protection(delete=True).wait_until_finished()
    refused("protected", zone.delete)
    zone.change_protection(delete=False).wait_until_finished()
    same(client.zones.get(zone.id).ttl, 1800)
    same(zone.get_actions(sort="id")[0].command, "create_zone")
    zone.delete().action.wait_until_finished()
    refused("not_found", client.zones.get, name)


def secondary_zone(client):
    name = f"second-{UNIQUE}.example"
    step(f"create secondary zone {name}")
    servers = [ZonePrimaryNameserver("192.0.2.53", tsig_algorithm="hmac-sha256", tsig_key="aGV5")]
    made = client.zones.create(name=name, mode="secondary", primary_nameservers=servers)
    made.action.wait_until_finished()
    refused("incorrect_zone_mode", client.zones.get_rrset_all, Zone(name=name))
    refused("incorrect_zone_mode", made.zone.export_zonefile)
    made.zone.change_primary_nameservers([ZonePrimaryNameserver("2001:db8::53", port=5353)]).wait_until_finished()
    server = client.zones.get(name).primary_nameservers[0]
    same((server.address, server.port), ("2001:db8::53", 5353))
    made.zone.delete().action.wait_until_finished()


def storage_box(client):
    name = f"box-{UNIQUE}"
    step(f"create storage box {name}")
    request = {"storage_box_type": StorageBoxType(name="bx11"), "location": Location(name="fsn1")}
    refused("invalid_input", client.storage_boxes.create, name=name, password="weak", **request)
    made = client.storage_boxes.create(
        name=name,
        password=PASSWORD,
        labels={"run": UNIQUE},
        ssh_keys=[KEY],
        access_settings=StorageBoxAccessSettings(ssh_enabled=True),
        **request,
    )
    same((made.storage_box.status, made.storage_box.server), ("initializing", None))
    made.action.wait_until_finished()
    box = client.storage_boxes.get_by_name(name)
    same((box.id, box.status, box.access_settings.ssh_enabled), (made.storage_box.id, "active", True))
    same(box.server, f"{box.username}.your-storagebox.de")
    same([b.name for b in client.storage_boxes.get_all(label_selector=f"run={UNIQUE}")], [name])

    step("change the storage box")
    same(box.update(labels={"a": "b"}).labels, {"a": "b"})
    box.change_type(client.storage_box_types.get_by_name("bx21")).wait_until_finished()
    box.reset_password("Another-Horse-8").wait_until_finished()
    box.update_access_settings(StorageBoxAccessSettings(webdav_enabled=True)).wait_until_finished()
    box.enable_snapshot_plan(StorageBoxSnapshotPlan(max_snapshots=5, hour=3, minute=0)).wait_until_finished()
    box.reload()
    same((box.storage_box_type.name, box.access_settings.webdav_enabled), ("bx21", True))
    same((box.snapshot_plan.max_snapshots, box.snapshot_plan.day_of_week), (5, None))
    box.disable_snapshot_plan().wait_until_finished()

    step("make, roll back to and delete a snapshot")
    first = box.create_snapshot(description="first")
    first.action.wait_until_finished()
    second = box.create_snapshot(labels={"n": "2"})
    second.action.wait_until_finished()
    snapshot = box.get_snapshot_by_id(first.snapshot.id)
    same((snapshot.description, snapshot.is_automatic), ("first", False))
    same(box.get_snapshot_by_name(snapshot.name).id, snapshot.id)
    same(snapshot.update(labels={"x": "y"}).labels, {"x": "y"})
    box.rollback_snapshot(StorageBoxSnapshot(id=snapshot.id)).wait_until_finished()
    same([s.id for s in box.get_snapshot_all()], [snapshot.id])
    snapshot.delete().action.wait_until_finished()
    same(box.get_snapshot_all(), [])

    step("make, change and delete a subaccount")
    made = box.create_subaccount(
        home_directory="hosts/one",
        password=PASSWORD,
        access_settings=StorageBoxSubaccountAccessSettings(ssh_enabled=True, readonly=True),
    )
    made.action.wait_until_finished()
    account = box.get_subaccount_by_id(made.subaccount.id)
    same((account.username, account.name), (f"{box.username}-sub1", f"{box.username}-sub1"))
    same(box.get_folders(path="hosts").folders, ["one"])
    account.change_home_directory("two").wait_until_finished()
    account.reset_password("Another-Horse-8").wait_until_finished()
    account.update_access_settings(StorageBoxSubaccountAccessSettings(readonly=False)).wait_until_finished()
    same(account.update(name="laptop", description="a laptop").name, "laptop")
    account = box.get_subaccount_by_name("laptop")
    same((account.home_directory, account.access_settings.readonly), ("two", False))
    account.delete().action.wait_until_finished()
    same(box.get_subaccount_all(), [])

    step("protect and delete the storage box")
    box.change_protection(delete=True).wait_until_finished()
    refused("protected", box.delete)
    box.change_protection(delete=False).wait_until_finished()
    same(box.get_actions(sort="id")[0].command, "create")
    box.delete().action.wait_until_finished()
    refused("not_found", client.storage_boxes.get_by_id, box.id)


def main():
    client = Client(
        os.environ["HCLOUD_TOKEN"], api_endpoint=ENDPOINT, api_endpoint_hetzner=ENDPOINT, poll_interval=0.1
    )
    primary_zone(client)
    secondary_zone(client)
    storage_box(client)
    print("zones and storage boxes are as hcloud expects them")


if __name__ == "__main__":
    main()
