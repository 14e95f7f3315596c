import API
import Container
import DemoSupport
import ExpertPaging
import FoundationEssentials
import Glibc
import Model
import Quantizer
import TestSupport
import Testing

extension ServingSuite {
    @Suite("Planes by heat")
    struct HeatTests {
        private let directory: TemporaryDirectory
        private var socket: String { "\(directory.path)/moed.sock" }
        private var state: String { "\(directory.path)/state" }

        init() throws {
            directory = try TemporaryDirectory()
            guard mkdir(state, 0o700) == 0 else { throw SystemCallFailure(call: "mkdir", code: errno) }
        }

        private func serve(
            _ planes: String, _ room: [String] = ["--memory", "1G", "--expert-slots", "60"], launcher: [String] = []
        ) throws -> ProcessClient {
            let planes = ["--planes", planes] + (planes == "heat" ? ["--state", state] : [])
            return ProcessClient(
                moed: try MoedProcess(
                    [
                        "serve", try DemoContainer.path(.nested), "--socket", socket, "--context", "256", "--threads",
                        "1",
                    ] + room + planes, environment: ["MEMORY_PRESSURE_WATCH": "/dev/null"], launcher: launcher),
                socket: socket)
        }

        private func texts(_ client: ProcessClient) async throws -> [String] {
            var texts: [String] = []
            for seed in 0..<3 { texts.append(try await client.text(seed: seed, tokens: 60)) }
            return texts
        }

        @Test("begins coarse and says so, and uses both planes of the most used experts from the next start on")
        func nextStart() async throws {
            var client = try serve("coarse")
            let coarse = try await texts(client)
            let coarseFingerprint = try await client.status().model.fingerprint
            _ = try await client.stop()

            client = try serve("heat")
            var memory = try await client.status().memory
            #expect(memory.expertPlanes == "heat" && memory.refinedExpertCount == 0 && memory.refinedUse == nil)
            // Nothing is refined yet, so it is the very same model.
            #expect(try await client.status().model.fingerprint == coarseFingerprint)
            #expect(try await texts(client) == coarse)
            var ending = try await client.stop()
            #expect(ending.text.contains("nothing is recorded of that yet"), "\(ending.text)")

            client = try serve("heat")
            memory = try await client.status().memory
            // All slots but the least that the others need: four experts a token and four lanes.
            #expect(memory.expertPlanes == "heat" && memory.refinedExpertCount == 52)
            let use = try #require(memory.refinedUse)
            #expect(use > 0.5 && use < 1)
            let fingerprint = try await client.status().model.fingerprint
            #expect(fingerprint != coarseFingerprint)
            let texts = try await texts(client)
            #expect(texts != coarse)
            // Whatever was asked meanwhile.
            #expect(try await self.texts(client) == texts)
            let paging = try await client.status().paging
            let refined = try #require(paging.refinedUseCount)
            #expect(Double(refined) / Double(paging.hitCount + paging.missCount) > 0.4)
            let metrics = try await client.get("/metrics").body.split(separator: "\n")
            #expect(metrics.contains("moed_expert_refined 52"))
            #expect(metrics.contains { $0.hasPrefix("moed_expert_refined_recorded_use_ratio 0.") })
            #expect(metrics.contains { $0.hasPrefix("moed_expert_refined_uses_total{layer=\"1\"}") })
            // Without another record, another run chooses the same.
            client.moed.signal(SIGKILL)
            ending = try await client.moed.ending()
            #expect(ending.text.contains("both planes, 8 bits a weight, of 52 experts"), "\(ending.text)")
            client = try serve("heat")
            #expect(try await client.status().model.fingerprint == fingerprint)
            #expect(try await self.texts(client) == texts)
            _ = try await client.stop()
        }

        @Test("is refused where nothing can be recorded")
        func withoutState() async throws {
            let moed = try MoedProcess(
                ["serve", try DemoContainer.path(.nested), "--socket", socket], environment: ["MOED_PLANES": "heat"])
            let ending = try await moed.ending()
            #expect(ending.status == EX_USAGE && ending.text.contains("give --state DIRECTORY"), "\(ending.text)")
        }

        @Test(
            "what is kept in memory serves the next run with the same planes, whatever was recorded meanwhile",
            arguments: [PlaneChoice.both, .heat])
        func kept(_ planes: PlaneChoice) async throws {
            let memory = 8_000_000
            let container = try ContainerReader(path: DemoContainer.path(.nested))
            /// The first experts of a layer are used most.
            func record(_ uses: (Int) -> Int) -> PopularityFile {
                let keys = container.experts.keys.sorted { ($0.layer, $0.expert) < ($1.layer, $1.expert) }
                return PopularityFile(
                    identity: container.indexChecksum, popularity: keys.map { Float(uses($0.expert)) })
            }
            let records = [record { 1 << (32 - $0) }, record { 32 - $0 }]
            let refinedCounts = try records.map {
                try MemoryPlan(
                    container: container,
                    options: .init(memory: memory, context: 256, planes: planes, popularity: $0)
                ).heat?.refinedExpertCount
            }
            #expect(planes == .both || refinedCounts[0] != refinedCounts[1], "\(refinedCounts)")

            let store = try DescriptorStore("\(directory.path)/notify")
            func begin(_ record: PopularityFile) async throws -> ProcessClient {
                try record.write(path: PopularityFile.path(in: state, identity: record.identity))
                let client = try serve(planes.rawValue, ["--memory", "\(memory)"], launcher: store.launcher)
                try await store.messages(until: "READY=1")
                return client
            }
            var client = try await begin(records[0])
            let texts = try await texts(client)
            let before = try await client.status()
            #expect(before.memory.expertPlanes == planes.rawValue)
            #expect(before.memory.refinedExpertCount == refinedCounts[0])
            let residentCount = try #require(before.paging.residentCount)
            #expect(residentCount > 30)
            client.moed.signal(SIGKILL)
            _ = try await client.moed.ending()

            client = try await begin(records[1])
            let after = try await client.status()
            #expect(after.memory.refinedExpertCount == refinedCounts[0])
            #expect(after.model.fingerprint == before.model.fingerprint)
            #expect(try #require(after.paging.residentCount) >= residentCount)
            #expect(try await self.texts(client) == texts)
            let log = try await client.stop().text
            #expect(log.contains("found in memory"), "\(log)")
        }
    }
}
