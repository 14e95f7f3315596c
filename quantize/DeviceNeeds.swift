import Container
import ExpertPaging
import Model
import Quantizer

/// What a device needs to run a model, by the arithmetic that the daemon itself plans by.
struct DeviceNeeds: Encodable {
    struct Device: Encodable {
        var memoryByteCount: Int
        /// nil: it can't start.
        var expertsInMemory: Double?
    }

    var denseByteCount: Int
    var expertByteCount: Int
    var byteCountPerToken: Int
    var leastMemoryByteCount: Int
    /// Budgets (`--memory`) and the share of the routed experts that stay in memory with them.
    var devices: [Device]

    private static let budgets = [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map { Int($0 * Double(1 << 30)) }

    init(_ forecast: ConversionForecast, _ configuration: ModelConfiguration, isFloat: Bool) throws {
        let laneCount = ExpertStore.defaultLaneCount
        let footprint = ModelFootprint(
            configuration: configuration, denseByteCount: forecast.denseByteCount,
            arena: ArenaShape(
                blobByteCounts: forecast.expertByteCounts,
                expertsPerToken: configuration.experts?.expertsPerToken ?? 0, laneCount: laneCount))
        func plan(_ memory: Int) throws(ModelError) -> MemoryPlan {
            try MemoryPlan(
                footprint: footprint, cacheFormat: isFloat ? .f32 : .bf16, options: .init(memory: memory),
                available: nil)
        }
        denseByteCount = forecast.denseByteCount
        expertByteCount = forecast.greatestExpertByteCount
        byteCountPerToken = forecast.byteCountPerToken
        leastMemoryByteCount = try plan(1 << 60).leastByteCount
        var devices: [Device] = []
        for budget in Self.budgets {
            let plan = try? plan(budget)
            let share = plan.map { $0.expertCount > 0 ? Double($0.slotCount) / Double($0.expertCount) : 1 }
            devices.append(Device(memoryByteCount: budget, expertsInMemory: share))
            if share == 1 { break }
        }
        self.devices = devices
    }

    var lines: [(String, String)] {
        var lines = [
            ("dense weights", Amount.bytes(denseByteCount) + ", which are always in memory"),
            ("an expert", Amount.bytes(expertByteCount)),
            ("a token reads", Amount.bytes(byteCountPerToken)),
            ("least memory", "\(MemorySize(byteCount: leastMemoryByteCount))"),
        ]
        // The largest that can't, and all that can.
        let first = devices.firstIndex { $0.expertsInMemory != nil } ?? devices.endIndex
        for (index, device) in devices[max(0, first - 1)...].enumerated() {
            let answer = device.expertsInMemory.map {
                "runs, with \(Amount.fixed($0 * 100, 0)) % of the experts in memory"
            }
            lines.append(
                (
                    index == 0 ? "on devices" : "",
                    "--memory \(MemorySize(byteCount: device.memoryByteCount)): "
                        + (answer ?? "does not start")
                ))
        }
        return lines
    }
}
