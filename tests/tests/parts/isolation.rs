//! Who reaches whom is measured rightly, with stacks that have nothing to do with each other.

use crate::stack::{self, hardened};
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::time::Instant;
use tests::engine::{self, Engine, FAR_AWAY, METADATA, Open, SERVER, Side};
use tests::isolation::{INTERNET, VPN, measure};
use tests::network::Reach;
use tests::samples;

/// A site that is published at a port, and what only it may ask. `number` makes it another one.
fn compose(image: &str, number: u16, published: u16) -> String {
    let service = |name: &str, port: u16, more: &str| {
        format!(
            "  {name}:\n    image: {image}\n    command: [httpd, -f, -p, \"{port}\", -h, /www]\n{}{more}",
            hardened(port)
        )
    };
    let site =
        service("site", 8080, &format!("    networks: [edge, inside]\n    ports: [\"{published}:8080\"]\n"));
    let data = service("data", 5432, "    networks: [inside]\n");
    // This version of the engine finds no second subnet for IPv6 by itself.
    let subnets =
        format!("[{{ subnet: 10.128.0.{}/28 }}, {{ subnet: \"fd00:128:{number}::/64\" }}]", 16 * number);
    format!(
        "services:\n{site}{data}networks:\n  inside: {{ internal: true }}\n  \
         edge: {{ enable_ipv6: true, ipam: {{ config: {subnets} }} }}\n"
    )
}

const ALWAYS: [(&str, &str); 6] = [
    ("one/site", "one/data:5432"),
    ("one/data", "one/site:8080"),
    ("two/site", "two/data:5432"),
    ("two/data", "two/site:8080"),
    ("three/site", "three/data:5432"),
    ("three/data", "three/site:8080"),
];

/// Three stacks: one is open to the world, two to the private network, and nobody declared three.
pub(crate) fn is_measured() -> Result<()> {
    if !engine::can_run("parts_who_reaches_whom_is_measured", &[])? {
        return Ok(());
    }
    let mut engine = Engine::start(1)?;
    let image = engine.pull(&samples::native("busybox")?)?;
    for (name, number, port) in [("one", 1, 443), ("two", 2, 9090), ("three", 3, 8081)] {
        stack::compose(&engine, name, &compose(&image, number, port))?;
        engine.up_alone(name)?;
    }
    // As the engine leaves it: who knows a container's own address reaches what it publishes.
    let start = Instant::now();
    let open = measure(&engine)?;
    println!("measured in {:.2} s\n{open}", start.elapsed().as_secs_f64());
    let sites = ["one/site:8080", "two/site:8080", "three/site:8080"];
    let published = ["server:443", "server:9090", "server:8081"];
    let outside = [INTERNET, VPN]
        .into_iter()
        .flat_map(|side| sites.iter().chain(&published).map(move |to| (side, *to)));
    open.is(&ALWAYS.into_iter().chain(outside).collect::<Vec<_>>())?;

    engine.close(Open { tcp: &[443], udp: &[], vpn: &[9090] })?;
    let closed = measure(&engine)?;
    println!("closed:\n{closed}");
    let declared = [(INTERNET, "server:443"), (VPN, "server:443"), (VPN, "server:9090")];
    let expected: Vec<_> = ALWAYS.into_iter().chain(declared).collect();
    closed.is(&expected)?;
    for (table, port) in [(&open, "server:443"), (&open, "server:8081"), (&closed, "server:443")] {
        for address in SERVER {
            let reached = table.addresses(INTERNET, port);
            ensure!(reached.contains(&address.parse()?), "{port} is not published at {address}: {reached:?}");
        }
    }
    nobody_gets_out_but_who_may(&engine)?;
    // The measure is one: what is laid between two stacks is seen.
    engine.docker(["network", "connect", "one_inside", "two-site-1"])?;
    let error = measure(&engine)?.is(&expected).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(error.contains("two/site reaches and should not: one/data:5432"), "{error}");
    let nobody = closed.is(&[("four/site", "one/data:5432")]).err().map(|error| error.to_string());
    ensure!(nobody.is_some_and(|error| error.contains("nobody is called four/site")));
    Ok(())
}

/// A site may go out, but neither send mail nor ask for the server's user-data; and no container reaches the server's own
/// programs, nor does anybody outside.
fn nobody_gets_out_but_who_may(engine: &Engine) -> Result<()> {
    let at = |address: &str, port| -> Result<SocketAddr> { Ok(SocketAddr::new(address.parse()?, port)) };
    let [v4, v6] = FAR_AWAY;
    let outside = [at(v4, 443)?, at(v6, 443)?, at(v4, 25)?, at(v6, 25)?, at(METADATA, 80)?];
    let of_the_server = [at(SERVER[0], 5555)?, at(SERVER[1], 5555)?];
    let (internet, server) = (engine.outside(Side::Internet), engine.server());
    let _listening = (internet.listen(&outside)?, server.listen(&of_the_server)?);
    // They are there for whoever is let in.
    ensure!(server.connect(&outside[..2])? == [Reach::Open; 2], "nobody is far away");
    ensure!(server.connect(&of_the_server)? == [Reach::Open; 2], "nothing listens on the server");
    let all = [outside.as_slice(), &of_the_server].concat();
    for container in engine.containers(None)? {
        let open: Vec<_> = all.iter().zip(container.network()?.connect(&all)?).collect();
        let open: Vec<_> =
            open.into_iter().filter(|(_, reach)| *reach == Reach::Open).map(|(to, _)| *to).collect();
        let may: &[SocketAddr] = if container.service == "site" { &outside[..2] } else { &[] };
        ensure!(open == may, "{} reaches {open:?}, and may reach {may:?}", container.title());
    }
    ensure!(
        internet.connect(&of_the_server)? == [Reach::Silent; 2],
        "the server's own program is open to all"
    );
    Ok(())
}
