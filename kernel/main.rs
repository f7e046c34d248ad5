//! The command `corriente`: what a person, a Jupyter server and the install script call.

mod bridge;
mod commands;
mod overflow;
mod pages;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What the analyzer builds when a kernel starts is a great many small things; this makes it a seventh faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Jupyter kernel for streaming notebooks: Rust cells, live DataFrames over Kafka.
#[derive(Parser)]
#[command(name = "corriente", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a Jupyter connection (what a Jupyter server calls)
    Kernel {
        /// The connection file
        #[arg(short = 'f', long = "connection-file")]
        file: PathBuf,
        /// What a client puts behind, such as the files of `jupyter run`; not for the kernel
        #[arg(trailing_var_arg = true, hide = true)]
        rest: Vec<String>,
    },
    /// Install the kernel and the JupyterLab extension into the Jupyter that is there
    Install(commands::install::Install),
    /// Remove what was installed
    Uninstall(commands::install::Uninstall),
    /// Run the embedded broker: Kafka's protocol on this machine, in memory
    Broker {
        /// Where to listen; port 0 for any
        #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
        listen: String,
        /// Megabytes of records to hold; the oldest go first
        #[arg(long, default_value_t = 256)]
        memory: usize,
    },
    /// Produce demo data into a topic
    #[command(subcommand)]
    Produce(Produce),
    /// Say how to start the demo
    Demo,
    /// Check what cells need
    Doctor,
}

#[derive(Subcommand)]
enum Produce {
    /// A bank's card transactions, as JSON
    Bank {
        /// The cluster: host:port, several with commas
        #[arg(long, value_name = "B")]
        bootstrap: String,
        /// The topic; made with four partitions if it is not there
        #[arg(long, value_name = "T")]
        topic: String,
        /// Transactions a second; 0 for as many as the machine gives
        #[arg(long, default_value_t = 1000.0, value_name = "R")]
        rate: f64,
        /// Transactions in all; without it until interrupted
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        /// The same seed gives the same transactions
        #[arg(long, default_value_t = 1, value_name = "S")]
        seed: u64,
    },
}

fn main() -> ExitCode {
    evaluator::runtime_hook();
    let done = match Arguments::parse().command {
        Command::Kernel { file, .. } => commands::kernel::run(&file),
        Command::Install(wanted) => commands::install::install(&wanted),
        Command::Uninstall(wanted) => commands::install::uninstall(&wanted),
        Command::Broker { listen, memory } => commands::broker::run(listen, memory),
        Command::Produce(Produce::Bank { bootstrap, topic, rate, count, seed }) => {
            commands::produce::bank(commands::produce::Wanted { bootstrap, topic, rate, count, seed })
        }
        Command::Demo => commands::doctor::demo(),
        Command::Doctor => commands::doctor::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corriente: {error:#}");
            ExitCode::FAILURE
        }
    }
}
