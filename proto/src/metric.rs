//! What an agent can read, number by number.
//!
//! A new one is a line here, a line in `agent.proto` (a test compares the two) and the call that reads it. Results,
//! exporter, `probe` and `top` go by these tables.

/// An enum of metrics with their numbers on the wire and their names.
macro_rules! metrics {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$doc:meta])* $variant:ident = $number:literal, $key:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name wherever it is written: lower snake case, ending in the unit where it has one.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $key,)*
                }
            }

            /// Its number on the wire.
            pub const fn number(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)*
                }
            }

            /// The metric of a number.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

metrics! {
    /// A number read of one GPU.
    pub enum GpuMetric {
        /// Share of the driver's past sample period (1/6 s to 1 s by product) in which a kernel ran, 0 to 100.
        UtilizationPercent = 1, "utilization_percent";
        /// Share of that period in which device memory was read or written, 0 to 100.
        MemoryUtilizationPercent = 2, "memory_utilization_percent";
        /// Memory in use without the driver's reserved part, bytes.
        MemoryUsedBytes = 3, "memory_used_bytes";
        /// Memory that the driver keeps for itself, bytes.
        MemoryReservedBytes = 4, "memory_reserved_bytes";
        /// Memory in total, bytes.
        MemoryTotalBytes = 5, "memory_total_bytes";
        /// Power draw, W: what the device offers by default, an average of 1 s on Ampere (but GA100) and newer, else
        /// of the instant.
        PowerW = 6, "power_w";
        /// Power draw of the instant, W, where the device tells it apart.
        PowerInstantW = 7, "power_instant_w";
        /// Power limit in force, W.
        PowerLimitW = 8, "power_limit_w";
        /// Energy since the driver was loaded, J; never falls while the driver stays loaded.
        EnergyJ = 9, "energy_j";
        /// Core temperature, degrees Celsius.
        TemperatureC = 10, "temperature_c";
        /// Clock of the streaming multiprocessors, MHz.
        SmClockMhz = 11, "sm_clock_mhz";
        /// Clock of the memory, MHz.
        MemoryClockMhz = 12, "memory_clock_mhz";
        /// Performance state: 0 is the fastest, 15 the slowest.
        PerformanceState = 13, "performance_state";
        /// Share of the encoder's sample period in which it was busy, 0 to 100.
        EncoderPercent = 14, "encoder_percent";
        /// As the encoder's, of the decoder.
        DecoderPercent = 15, "decoder_percent";
        /// Generation of the PCIe link as it is now.
        PcieGeneration = 16, "pcie_generation";
        /// Lanes of the PCIe link as it is now.
        PcieWidth = 17, "pcie_width";
        /// Received over PCIe in the last 20 ms, bytes a second.
        PcieReceivedBytesPerS = 18, "pcie_received_bytes_per_s";
        /// Sent over PCIe in the last 20 ms, bytes a second.
        PcieSentBytesPerS = 19, "pcie_sent_bytes_per_s";
        /// PCIe transmissions that had to be repeated, since the driver was loaded.
        PcieReplays = 20, "pcie_replays";
        /// NVLink links that are up.
        NvlinksUp = 21, "nvlinks_up";
        /// Memory errors that ECC corrected, since the driver was loaded.
        EccCorrected = 22, "ecc_corrected";
        /// Memory errors that ECC could not correct, since the driver was loaded.
        EccUncorrected = 23, "ecc_uncorrected";
        /// Processes that compute on it.
        ComputeProcesses = 24, "compute_processes";
    }
}

metrics! {
    /// A number read of the host, or of the agent itself.
    pub enum HostMetric {
        /// Busy share of all cores since the previous reading, 0 to 100.
        CpuPercent = 1, "cpu_percent";
        /// Memory in use, bytes: what could not be freed for something else.
        MemoryUsedBytes = 2, "memory_used_bytes";
        /// Memory in total, bytes: the container's where that is limited to less than the machine has.
        MemoryTotalBytes = 3, "memory_total_bytes";
        /// Load average over a minute: processes that run or wait to.
        Load1 = 4, "load_1m";
        /// Received over all network interfaces but loopback since the previous reading, bytes a second.
        NetworkReceivedBytesPerS = 5, "network_received_bytes_per_s";
        /// Sent, as above.
        NetworkSentBytesPerS = 6, "network_sent_bytes_per_s";
        /// Read from all disks since the previous reading, bytes a second.
        DiskReadBytesPerS = 7, "disk_read_bytes_per_s";
        /// Written, as above.
        DiskWrittenBytesPerS = 8, "disk_written_bytes_per_s";
        /// Share of the time since the previous reading in which some task waited for a processor (PSI), 0 to 100.
        CpuPressurePercent = 9, "cpu_pressure_percent";
        /// As above, for memory.
        MemoryPressurePercent = 10, "memory_pressure_percent";
        /// As above, for input and output.
        IoPressurePercent = 11, "io_pressure_percent";
        /// Processors that the container may use which the agent sees as its root; absent as unsupported where nothing limits it.
        CpuLimitCores = 12, "cpu_limit_cores";
        /// Memory that it may use, bytes; absent as unsupported where nothing limits it.
        MemoryLimitBytes = 13, "memory_limit_bytes";
        /// Processor time of the watched processes since the previous reading, percent of one core.
        ProcessCpuPercent = 14, "process_cpu_percent";
        /// Resident memory of the watched processes, bytes.
        ProcessMemoryBytes = 15, "process_memory_bytes";
        /// Processes that are watched.
        Processes = 16, "processes";
        /// The agent's own processor time since the previous reading, percent of one core.
        AgentCpuPercent = 17, "agent_cpu_percent";
        /// The agent's own resident memory, bytes.
        AgentMemoryBytes = 18, "agent_memory_bytes";
        /// Median of what a call into the GPU library has taken in this run, microseconds.
        GpuCallP50Us = 19, "gpu_call_p50_us";
        /// 99th percentile of that.
        GpuCallP99Us = 20, "gpu_call_p99_us";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn the_wire_knows_every_metric_by_the_same_name() {
        for metric in GpuMetric::ALL {
            let on_the_wire = wire::GpuMetric::try_from(metric.number())
                .unwrap_or_else(|_| panic!("{} is not there", metric.name()));
            let name = format!("GPU_METRIC_{}", metric.name().to_uppercase());
            assert_eq!(on_the_wire.as_str_name(), name);
            assert_eq!(GpuMetric::from_number(metric.number()), Some(*metric));
        }
        for metric in HostMetric::ALL {
            let on_the_wire = wire::HostMetric::try_from(metric.number())
                .unwrap_or_else(|_| panic!("{} is not there", metric.name()));
            let name = format!("HOST_METRIC_{}", metric.name().to_uppercase());
            assert_eq!(on_the_wire.as_str_name(), name);
            assert_eq!(HostMetric::from_number(metric.number()), Some(*metric));
        }
        // Numbers have no holes, so the wire knows none besides.
        let last_gpu = GpuMetric::ALL.last().map_or(0, |metric| metric.number());
        let last_host = HostMetric::ALL.last().map_or(0, |metric| metric.number());
        assert_eq!(GpuMetric::ALL.len(), usize::try_from(last_gpu).unwrap());
        assert_eq!(HostMetric::ALL.len(), usize::try_from(last_host).unwrap());
        assert!(wire::GpuMetric::try_from(last_gpu + 1).is_err());
        assert!(wire::HostMetric::try_from(last_host + 1).is_err());
    }
}
