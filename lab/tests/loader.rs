//! Objects into the kernel by the loader. Trials that need rights are listed as ignored, with the reason, where those are missing.

use libtest_mimic::{Arguments, Failed, Trial};
use std::os::fd::AsFd;
use treeline_lab::bpf::Object;
use treeline_lab::bpf::ReadOptions;
use treeline_lab::kernel::{Features, KernelError, Loader, Log, syscall};

/// The classifier's object, one of many programs.
const OBJECT: &[u8] = include_bytes!("../../ebpf/object/treeline.bpf.o");
const FLOWS: &[u8] = include_bytes!("objects/flows.bpf.o");

type Run = fn() -> Result<(), Failed>;

fn main() {
    let allowed = Features::probe().functions;
    assert!(allowed || std::env::var_os("CI").is_none(), "under CI the kernel must be there (CAP_BPF, CAP_NET_ADMIN)");
    let trials: [(&str, Run); 4] = [
        ("every_program_of_an_object_by_clang_loads", || loads_all(FLOWS)),
        ("every_program_of_the_classifier_loads", || loads_all(OBJECT)),
        ("constants_are_in_the_kernels_map", constants),
        ("a_rejected_program_comes_back_with_its_log", rejected),
    ];
    let trials = trials.map(|(name, run)| Trial::test(name, run).with_ignored_flag(!allowed)).into();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn loads_all(elf: &[u8]) -> Result<(), Failed> {
    let object = Object::parse(elf, &ReadOptions::default())?;
    assert!(object.refused().is_empty(), "{:?}", object.refused());
    let loaded = Loader::new(&object).create()?;
    for program in object.programs() {
        assert!(!program.func_info.is_empty() && !program.lines.is_empty(), "{} has types and lines", program.name);
        match loaded.load(program, Log::Statistics)? {
            Ok(loaded) => {
                let info = syscall::program_info(loaded.fd.as_fd())?;
                assert!(info.nr_func_info > 0 && info.nr_line_info > 0, "the kernel has types and lines of {}", program.name);
                assert!(loaded.log.contains("processed"), "{}", loaded.log);
            }
            Err(rejection) => return Err(format!("{}: {}\n{}", program.name, rejection.error, rejection.log).into()),
        }
    }
    Ok(())
}

fn constants() -> Result<(), Failed> {
    let options = ReadOptions { globals: [("PACKETS_MAX".to_owned(), vec![2, 0, 0, 0])].into(), ..ReadOptions::default() };
    let object = Object::parse(FLOWS, &options)?;
    let loaded = Loader::new(&object).create()?;
    let map = loaded.map(".rodata").ok_or("no constants")?;
    assert!(map.definition.data.windows(4).any(|bytes| bytes == [2, 0, 0, 0]));
    assert!(syscall::update(map.fd.as_fd(), &[0; 4], &map.definition.data, 0).is_err(), "constants are frozen");
    Ok(())
}

fn rejected() -> Result<(), Failed> {
    // r0 = *(u64 *)(r1 + 4096); exit
    let code = [0x79, 0x10, 0, 0x10, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let object = Object::from_bytecode("reads_beyond", treeline_lab::vm::Hook::Xdp, &code, &[])?;
    let loaded = Loader::new(&object).create()?;
    let Err(rejection) = loaded.load(object.program("reads_beyond")?, Log::Full)? else { return Err("accepted".into()) };
    assert!(rejection.log.contains("invalid bpf_context access"), "{}", rejection.log);
    assert!(matches!(object.program("other"), Err(error) if KernelError::from(error.clone()).to_string().contains("reads_beyond")));
    Ok(())
}
