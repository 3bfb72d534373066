//! Every target, for a moment. The crate's own page says how to search for longer.

use std::time::Duration;

/// Runs a target on random bytes. Under a fuzzer the two limits mean nothing.
macro_rules! target {
    ($name:ident, $target:path) => {
        #[test]
        fn $name() {
            bolero::check!()
                .with_test_time(Duration::from_millis(1500))
                .with_iterations(1_000_000)
                .with_max_len(512)
                .for_each(|orders: &[u8]| $target(orders));
        }
    };
}

target!(only_an_honest_client_s_messages_come_out_of_the_frames, fuzz::frames);
target!(messages_decode_or_are_refused, fuzz::messages);
target!(every_message_survives_the_wire, fuzz::round_trip);
target!(config_toml_is_read_or_refused, fuzz::config);
target!(policy_toml_is_read_or_refused, fuzz::policy);
target!(peers_toml_is_read_or_refused, fuzz::peers);
target!(installation_toml_is_read_or_refused, fuzz::installation);
target!(no_edited_trail_is_sound, fuzz::audit_lines);
target!(no_edited_file_of_a_trail_is_sound, fuzz::audit_files);
target!(no_edited_archive_is_another_trail, fuzz::audit_archive);
target!(notes_and_checkpoints_have_one_spelling, fuzz::notes);
target!(keys_have_one_spelling, fuzz::keys);
target!(a_proof_proves_what_was_written, fuzz::proofs);
target!(no_edited_metadata_opens, fuzz::metadata);
target!(a_factor_s_parameters_are_read_or_refused, fuzz::parameters);
target!(no_edited_share_is_accepted, fuzz::shares);
target!(what_an_ssh_agent_answers_is_read_or_refused, fuzz::ssh_agent);
target!(cicada_toml_gives_what_it_says_and_nothing_else, fuzz::cicada_config);
target!(a_request_to_cicada_ends_where_its_json_does, fuzz::cicada_stream);
target!(a_request_to_cicada_is_read_or_refused_without_its_values, fuzz::cicada_request);
target!(a_reply_of_cicada_is_read_as_it_is_written, fuzz::cicada_replies);
target!(partitions_lie_on_the_disk_and_share_nothing, fuzz::gpt);
target!(files_of_an_esp_share_nothing, fuzz::fat);
target!(sections_of_a_uki_lie_in_it, fuzz::uki);
target!(no_edited_hash_tree_is_whole, fuzz::verity);
target!(a_manifest_is_read_as_it_is_written, fuzz::manifest);
target!(no_made_up_signature_counts, fuzz::signer);
