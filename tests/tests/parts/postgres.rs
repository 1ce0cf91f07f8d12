//! The catalogue's PostgreSQL, whole, at the paths that a server has.

use crate::stack;
use anyhow::{Result, bail, ensure};
use host::{Host as _, Local};
use spec::{StackSpec, StackState, paths};
use std::collections::BTreeMap;
use std::time::Instant;
use tests::engine::{self, Engine};
use tests::{leaks, samples};

const STACK: &str = "postgres";
const PASSWORD: &str = "postgres-superuser-password";
const SECRET: &[u8] = b"vJ2hX8bQmT4nLrW7yKcF1pZs9dGgE6uAoR3iNtB5wYx";

/// Healthy from nothing, and a second time on the data of the first, which is where wrong rights show.
pub(crate) fn twice() -> Result<()> {
    if !engine::can_run("parts_postgres_comes_up_from_nothing_and_again", &[])? {
        return Ok(());
    }
    let mut engine = Engine::start(2)?;
    let built = samples::native(STACK)?;
    let start = Instant::now();
    let reference = engine.pull(&built)?;
    println!("pulled: {:.2} s", start.elapsed().as_secs_f64());
    let wanted = StackSpec {
        name: STACK.into(),
        images: [(STACK.to_owned(), reference)].into(),
        ..StackSpec::default()
    };
    let node = stack::node(vec![wanted]);
    host::files::write(&engine.path(paths::NODE_SPEC), &node.to_json(), 0o644)?;
    stack::put(&engine, &node, &BTreeMap::from([(PASSWORD, SECRET)]))?;
    comes_up(&engine, "from nothing")?;
    sql(&engine, "CREATE TABLE kept AS SELECT 'a row' AS what")?;
    leaks::none(&engine, &[leaks::Sought { name: PASSWORD, bytes: SECRET }])?;
    engine.down(STACK)?;
    ensure!(engine.containers(Some(STACK))?.is_empty(), "containers are left");
    comes_up(&engine, "again")?;
    ensure!(sql(&engine, "SELECT what FROM kept")? == "a row");
    engine.power_cut()?;
    comes_up(&engine, "after the power went")?;
    ensure!(sql(&engine, "SELECT what FROM kept")? == "a row");
    ensure!(engine.logs(STACK)?.contains("was not properly shut down"), "the power did not go");
    leaks::none(&engine, &[leaks::Sought { name: PASSWORD, bytes: SECRET }])?;
    firstboot_sees_it(&engine)
}

/// What firstboot itself says of the stack, asked where it runs.
fn firstboot_sees_it(engine: &Engine) -> Result<()> {
    let said = Local.run(&engine.firstboot(["stacks", "list"]))?;
    let seen: Vec<StackState> = serde_json::from_slice(&said.stdout)?;
    let [postgres] = seen.as_slice() else { bail!("firstboot sees {seen:?}") };
    ensure!(postgres.enabled && (postgres.containers, postgres.healthy) == (1, 1), "{postgres:?}");
    ensure!(postgres.secrets == [PASSWORD], "{postgres:?}");
    Ok(())
}

fn comes_up(engine: &Engine, how: &str) -> Result<()> {
    let start = Instant::now();
    engine.up(STACK)?;
    println!("up {how}: {:.2} s", start.elapsed().as_secs_f64());
    let containers = engine.containers(Some(STACK))?;
    ensure!(containers.len() == 1 && containers[0].is_healthy(), "{containers:#?}");
    ensure!(sql(engine, "SELECT 6 * 7")? == "42");
    Ok(())
}

fn sql(engine: &Engine, line: &str) -> Result<String> {
    engine
        .exec("postgres-postgres-1", &["psql", "-U", "postgres", "-At", "-v", "ON_ERROR_STOP=1", "-c", line])
}
