//! The statements without control flow: arithmetic, constants, memory of every kind, atomics.

use super::code::{ARRAY, CONTEXT, Function, SLOTS, SPILL, bit};
use super::draw::{CELL_REACH, Draw, data, touched};
use crate::vm::Hook;

type Drawn<T> = arbitrary::Result<T>;

/// Load opcodes by size, and those that extend the sign.
const LOADS: [(i16, u8); 7] = [(1, 0x71), (2, 0x69), (4, 0x61), (8, 0x79), (1, 0x91), (2, 0x89), (4, 0x81)];
/// Stores from a register and of an immediate.
const STORES: [(i16, u8, u8); 4] = [(1, 0x73, 0x72), (2, 0x6b, 0x6a), (4, 0x63, 0x62), (8, 0x7b, 0x7a)];
/// Atomic operations: `add` to `cmpxchg`.
const ATOMICS: [i32; 10] = [0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1];

impl Draw<'_, '_> {
    pub(super) fn arithmetic(&mut self, function: &mut Function) -> Drawn<()> {
        let Some(dst) = self.variable(function)? else { return self.constant(function) };
        let class = self.pick(&[0x07_u8, 0x04])?;
        let width = if class == 0x07 { 64 } else { 32 };
        let kind: u8 = self.bytes.arbitrary()?;
        if kind < 24 {
            match kind % 4 {
                0 => function.push(0x80 | class, dst, 0, 0, 0), // neg
                1 => {
                    let (opc, imm) = (self.pick(&[0xd4, 0xdc, 0xd7])?, self.pick(&[16, 32, 64])?);
                    function.push(opc, dst, 0, 0, imm);
                }
                _ => {
                    let off = self.pick(if width == 64 { &[8, 16, 32] } else { &[8, 16] })?;
                    let src = self.number(function)?.unwrap_or(dst);
                    function.push(0xb8 | class, dst, src, off, 0); // movsx
                }
            }
            return Ok(());
        }
        let operation = self.pick(&[0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0])?;
        let off = i16::from(matches!(operation, 0x30 | 0x90) && kind & 2 != 0);
        match self.number(function)? {
            Some(src) if kind & 1 != 0 => function.push(operation | class | 0x08, dst, src, off, 0),
            _ => {
                let imm = self.immediate()?;
                // The kernel refuses these constants before any run.
                let imm = match operation {
                    0x60 | 0x70 | 0xc0 => imm & (width - 1),
                    0x30 | 0x90 if imm == 0 => 1,
                    _ => imm,
                };
                function.push(operation | class, dst, 0, off, imm);
            }
        }
        Ok(())
    }

    pub(super) fn constant(&mut self, function: &mut Function) -> Drawn<()> {
        let Some(dst) = self.free(function, 0)? else { return Ok(()) };
        match self.bytes.arbitrary::<u8>()? % 4 {
            0 => {
                let (low, high) = (self.immediate()?, self.immediate()?);
                function.wide(dst, 0, low, high);
            }
            1 => {
                let imm = self.immediate()?;
                function.push(0xb4, dst, 0, 0, imm);
            }
            _ => {
                let imm = self.immediate()?;
                function.mov_imm(dst, imm);
            }
        }
        function.state.numbers |= bit(dst);
        Ok(())
    }

    /// A load or store at a fixed offset.
    pub(super) fn memory(&mut self, function: &mut Function) -> Drawn<()> {
        match self.bytes.arbitrary::<u8>()? {
            0..110 => self.stack(function),
            110..180 => match function.roles.value {
                Some(value) => self.access(function, value, 0, CELL_REACH, 1),
                None => self.stack(function),
            },
            180..210 => match function.roles.buffer {
                Some(buffer) => self.access(function, buffer, 0, 16, 8),
                None => self.stack(function),
            },
            210..250 => match function.roles.packet {
                Some((packet, length)) => self.access(function, packet, 0, length, 1),
                None => self.stack(function),
            },
            _ => {
                // A spilled pointer comes back into its register.
                let roles = function.roles;
                let Some(register) = self.pick(&[roles.context, roles.value, roles.packet.map(|(register, _)| register)])? else {
                    return Ok(());
                };
                let slot = if Some(register) == roles.context {
                    0
                } else if Some(register) == roles.value {
                    8
                } else {
                    16
                };
                if function.depth == 0 {
                    function.push(0x79, register, 10, SPILL - slot, 0);
                }
                Ok(())
            }
        }
    }

    fn stack(&mut self, function: &mut Function) -> Drawn<()> {
        let place = i16::from(self.bytes.arbitrary::<u8>()? % 64);
        let (size, opc) = self.pick(&LOADS)?;
        let offset = SLOTS + place / size * size;
        let mask = touched(offset, size);
        if self.bytes.arbitrary()? && function.state.written & mask == mask {
            if let Some(dst) = self.free(function, 0)? {
                function.push(opc, dst, 10, offset, 0);
                function.state.numbers |= bit(dst);
            }
            return Ok(());
        }
        function.state.written |= mask;
        self.store(function, 10, offset, size)
    }

    fn store(&mut self, function: &mut Function, base: u8, offset: i16, size: i16) -> Drawn<()> {
        let (_, from_register, of_immediate) = STORES[size.trailing_zeros() as usize];
        match self.number(function)? {
            Some(src) if self.bytes.arbitrary()? => function.push(from_register, base, src, offset, 0),
            _ => {
                let imm = self.immediate()?;
                function.push(of_immediate, base, 0, offset, imm);
            }
        }
        Ok(())
    }

    /// Inside of `length` bytes at `base`, aligned where `align` is 8.
    fn access(&mut self, function: &mut Function, base: u8, start: i16, length: i16, align: i16) -> Drawn<()> {
        let (size, opc) = self.pick(&LOADS)?;
        let place = i16::from(self.bytes.arbitrary::<u8>()?) % (length - size + 1);
        let offset = start + if align > 1 { place / size * size } else { place };
        if self.bytes.arbitrary()? {
            let Some(dst) = self.free(function, 0)? else { return Ok(()) };
            function.push(opc, dst, base, offset, 0);
            function.state.numbers |= bit(dst);
            return Ok(());
        }
        self.store(function, base, offset, size)
    }

    /// A load or store at an offset that is only known when it runs, within bounds that the program makes sure of.
    pub(super) fn variable_offset(&mut self, function: &mut Function) -> Drawn<()> {
        let Some(number) = self.number(function)? else { return Ok(()) };
        let Some(offset) = self.free(function, 0)? else { return Ok(()) };
        let Some(pointer) = self.free(function, bit(offset))? else { return Ok(()) };
        let kind: u8 = self.bytes.arbitrary()?;
        let (value, packet) = (function.roles.value, function.roles.packet);
        function.mov(offset, number);
        function.state.numbers |= bit(offset);
        function.state.numbers &= !bit(pointer);
        match (kind % 3, value, packet) {
            (0, Some(value), _) => {
                function.push(0x57, offset, 0, 0, 31);
                function.mov(pointer, value);
                function.push(0x0f, pointer, offset, 0, 0);
                self.access(function, pointer, 0, 32, 1)?;
            }
            (1, _, Some((packet, _))) => {
                let Some(end) = self.free(function, bit(offset) | bit(pointer))? else {
                    function.forget(pointer);
                    return Ok(());
                };
                let Some(limit) = self.free(function, bit(offset) | bit(pointer) | bit(end))? else {
                    function.forget(pointer);
                    return Ok(());
                };
                let (context, data_end) = (function.roles.context.unwrap_or(6), data(self.hook).map_or(4, |(_, end)| end));
                function.push(0x57, offset, 0, 0, 127);
                function.mov(pointer, packet);
                function.push(0x0f, pointer, offset, 0, 0);
                function.mov(end, pointer);
                function.add_imm(end, 8);
                function.push(0x61, limit, context, data_end, 0);
                function.state.numbers &= !(bit(end) | bit(limit));
                let beyond = function.jump(0x2d, end, limit, 0); // jgt
                let before = function.state;
                self.access(function, pointer, 0, 8, 1)?;
                function.land(beyond);
                function.state = function.state.meet(before);
                function.forget(end);
                function.forget(limit);
            }
            _ => {
                let mask = i32::from(function.array_length()) - 8;
                let work = self.free(function, bit(offset) | bit(pointer))?;
                match work {
                    // The verifier knows what a register holds.
                    Some(work) if kind & 64 != 0 => {
                        function.mov_imm(work, mask);
                        function.state.numbers |= bit(work);
                        function.push(0x5f, offset, work, 0, 0);
                    }
                    _ => function.push(0x57, offset, 0, 0, mask),
                }
                if kind & 128 != 0 && self.hook != Hook::Xdp && function.roles.context.is_some() {
                    function.forget(pointer);
                    return self.fill(function, offset);
                }
                function.mov(pointer, 10);
                function.push(0x0f, pointer, offset, 0, 0);
                // Of the verifier's rules: a store through a variable offset to a slot of a spilled pointer is refused, so none lies there.
                self.access(function, pointer, ARRAY, 8, 8)?;
            }
        }
        function.forget(pointer);
        Ok(())
    }

    /// `bpf_skb_load_bytes` to the stack, of one byte more than a number that is at most the array's last slot's offset.
    fn fill(&mut self, function: &mut Function, count: u8) -> Drawn<()> {
        let context = function.roles.context.unwrap_or(6);
        let start = i32::from(self.bytes.arbitrary::<u8>()? % 16);
        function.mov(4, count);
        function.add_imm(4, 1);
        function.mov(1, context);
        function.mov_imm(2, start);
        function.mov(3, 10);
        function.add_imm(3, ARRAY.into());
        function.push(0x85, 0, 0, 0, 26);
        function.called();
        Ok(())
    }

    /// An atomic operation upon the stack or the cell.
    pub(super) fn atomic(&mut self, function: &mut Function) -> Drawn<()> {
        let is_wide: bool = self.bytes.arbitrary()?;
        let size = if is_wide { 8 } else { 4 };
        let place: u8 = self.bytes.arbitrary()?;
        let (base, start, length) = match function.roles.value {
            Some(value) if self.bytes.arbitrary()? => (value, 0, 32),
            _ => (10, ARRAY, function.array_length()),
        };
        let place = i16::from(place) % length / size * size;
        let Some(src) = self.variable(function)? else { return Ok(()) };
        let kind: u8 = self.bytes.arbitrary()?;
        if kind < 64 {
            // Load-acquire and store-release, of any size.
            let (size, opc) = self.pick(&[(1, 0xd3_u8), (2, 0xcb), (4, 0xc3), (8, 0xdb)])?;
            let offset = start + place / size * size;
            if kind < 32 {
                function.push(opc, src, base, offset, 0x100);
            } else {
                function.push(opc, base, src, offset, 0x110);
            }
            return Ok(());
        }
        let mut operation = ATOMICS[usize::from(kind) % ATOMICS.len()];
        if base == 10 {
            // What a fetching one takes from the stack the verifier (6.18) forgets when it goes back for precision, and prunes paths that differ.
            operation = ATOMICS[usize::from(kind) % 4];
        }
        if operation == 0xf1 && function.state.numbers & 1 == 0 {
            return Ok(());
        }
        function.push(if is_wide { 0xdb } else { 0xc3 }, base, src, start + place, operation);
        if operation == 0xf1 && !is_wide {
            // `w0 = w0`: the verifier (6.18) may forget to clear the upper half (docs/rbpf-findings.md).
            function.push(0xbc, 0, 0, 0, 0);
        }
        Ok(())
    }

    /// Fields of the context that hold numbers, in any width the kernel allows.
    pub(super) fn context(&mut self, function: &mut Function) -> Drawn<()> {
        if let Some(context) = function.roles.context {
            return self.field(function, context);
        }
        let Some(buffer) = function.roles.buffer.filter(|_| function.roles.has_context_in_buffer) else { return Ok(()) };
        let Some(context) = self.free(function, 0)? else { return Ok(()) };
        function.push(0x79, context, buffer, CONTEXT, 0);
        function.state.numbers &= !bit(context);
        self.field(function, context)?;
        function.forget(context);
        Ok(())
    }

    /// One field through a register that holds the context.
    pub(super) fn field(&mut self, function: &mut Function, context: u8) -> Drawn<()> {
        let Some(dst) = self.free(function, bit(context))? else { return Ok(()) };
        let fields: &[i16] = match self.hook {
            Hook::Xdp => &[12, 16],
            Hook::Tc => &[0, 8, 12, 16, 24, 28, 32, 36, 40, 44, 48, 52, 64],
            Hook::Socket => &[0, 8, 32, 48, 52, 64],
        };
        let field = self.pick(fields)?;
        if self.hook == Hook::Tc && matches!(field, 8 | 12 | 32 | 44 | 48 | 52 | 64) && self.bytes.arbitrary()? {
            if let Some(src) = self.number(function)? {
                function.push(0x63, context, src, field, 0);
            }
            return Ok(());
        }
        // `xdp_md` is read in whole words.
        let widths: &[(i16, u8)] = if self.hook == Hook::Xdp { &[(4, 0x61)] } else { &[(4, 0x61), (4, 0x61), (2, 0x69), (1, 0x71)] };
        let (size, opc) = self.pick(widths)?;
        let part = i16::from(self.bytes.arbitrary::<u8>()? % 4) / size * size;
        function.push(opc, dst, context, field + part, 0);
        function.state.numbers |= bit(dst);
        Ok(())
    }

    /// A packet load of classic BPF.
    pub(super) fn classic(&mut self, function: &mut Function) -> Drawn<()> {
        if self.hook == Hook::Xdp || function.depth > 0 {
            return self.arithmetic(function);
        }
        let size = self.pick(&[0x00, 0x08, 0x10])?;
        let imm = i32::from(self.bytes.arbitrary::<u8>()? % 68);
        match self.number(function)? {
            Some(src) if self.bytes.arbitrary()? => {
                let Some(work) = self.free(function, 0)? else { return Ok(()) };
                function.mov(work, src);
                function.push(0x57, work, 0, 0, 31);
                function.push(0x40 | size, 0, work, 0, imm);
                function.state.numbers |= bit(work);
            }
            _ => function.push(0x20 | size, 0, 0, 0, imm),
        }
        function.called();
        Ok(())
    }
}
