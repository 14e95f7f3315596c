import API
import FoundationEssentials
import Model
import Serving
import Testing

extension ServingSuite {
    @Suite("Lossy help")
    struct LossyTests {
        private static let help = #""moed":{"prefer_resident":0.4,"drop_cold":0.9},"max_tokens":30,"temperature":0"#

        @Test("an answer without help doesn't speak of it, and help of 0 changes nothing")
        func off() async throws {
            try await TestDaemon.run(expertSlots: 24) { daemon in
                let fields = #""max_tokens":20,"temperature":0"#
                let plain = try await daemon.chat(fields)
                #expect(!plain.body.contains("moed\":"))
                let zero = try await daemon.chat(fields + #","moed":{"prefer_resident":0,"drop_cold":null}"#)
                #expect(!zero.body.contains("moed\":"))
                let (first, second) = (try decode(ChatCompletion.self, plain), try decode(ChatCompletion.self, zero))
                #expect(first.choices == second.choices)
                #expect(try await daemon.chat(fields + #","moed":null"#).status == 200)
                let status = try await daemon.status().paging
                #expect(status.preferResident == 0 && status.dropCold == 0)
                #expect(status.substitutedCount == 0 && status.droppedCount == 0)
            }
        }

        @Test("an answer tells what help came to, whole and in a stream's last event, in status and metrics")
        func reports() async throws {
            try await TestDaemon.run(expertSlots: 24) { daemon in
                let whole = try decode(ChatCompletion.self, await daemon.chat(Self.help))
                let report = try #require(whole.moed)
                #expect(report.preferResident == 0.4 && report.dropCold == 0.9)
                #expect(report.choiceCount > 0 && report.substitutedCount > 0 && report.droppedCount > 0)
                #expect(report.substitutedCount + report.droppedCount < report.choiceCount)
                let status = try await daemon.status().paging
                #expect(status.substitutedCount == report.substitutedCount)
                #expect(status.droppedCount == report.droppedCount)
                let metrics = try await daemon.get("/metrics").body.split(separator: "\n")
                #expect(metrics.contains("moed_expert_substitutions_total \(report.substitutedCount)"))
                #expect(metrics.contains("moed_expert_drops_total \(report.droppedCount)"))

                for options in ["", #","stream_options":{"include_usage":true}"#] {
                    let chunks = try await daemon.chat(Self.help + #","stream":true"# + options).chunks
                    #expect(chunks.last?.moed?.choiceCount == report.choiceCount)
                    #expect(chunks.dropLast().allSatisfy { $0.moed == nil })
                    #expect((chunks.last?.usage == nil) == options.isEmpty)
                }
            }
        }

        @Test("plain completions have it too")
        func completions() async throws {
            try await TestDaemon.run(expertSlots: 24) { daemon in
                let body = #"{"prompt":"Once upon a time",\#(Self.help)"#
                let whole = try decode(Completion.self, await daemon.post("/v1/completions", body + "}"))
                #expect((whole.moed?.substitutedCount ?? 0) > 0)
                let stream = try await daemon.post("/v1/completions", body + #","stream":true}"#)
                let last = try #require(stream.events.last)
                let chunk = try JSONDecoder().decode(Completion.self, from: Data(last.utf8))
                #expect((chunk.moed?.choiceCount ?? 0) > 0)
            }
        }

        @Test("the daemon's defaults hold for who says nothing, and a request can turn them off")
        func defaults() async throws {
            var options = ServedModel.Options()
            options.lossy = LossyRouting(preferResident: 0.25, dropCold: 0.5)
            try await TestDaemon.run(expertSlots: 24, options: options) { daemon in
                #expect(daemon.model.warnings.contains { $0.contains("--prefer-resident is 0.25") })
                let fields = #""max_tokens":20,"temperature":0"#
                let report = try #require(try decode(ChatCompletion.self, await daemon.chat(fields)).moed)
                #expect(report.preferResident == 0.25 && report.dropCold == 0.5)
                let half = try decode(ChatCompletion.self, await daemon.chat(fields + #","moed":{"drop_cold":0}"#))
                #expect(half.moed?.preferResident == 0.25 && half.moed?.dropCold == 0)
                #expect(half.moed?.droppedCount == 0)
                let none = try await daemon.chat(fields + #","moed":{"prefer_resident":0,"drop_cold":0}"#)
                #expect(try decode(ChatCompletion.self, none).moed == nil)
                let status = try await daemon.status().paging
                #expect(status.preferResident == 0.25 && status.dropCold == 0.5)
            }
        }
    }
}
