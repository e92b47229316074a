//! The CXL Link capability (CXL 3.1 section 8.2.4.19): credits and retries of the CXL.cache and CXL.mem link layer.
//!
//! Not emulated: the link layer. Its initialisation is always done, credits and thresholds hold what software writes.
//!
//! The registers are 64 bits wide; each is two here. Fields that cross bit 32 are in two parts.

use reg_table::register_block;

/// Capability ID.
pub const CXL_LINK_CAPABILITY_ID: u16 = 4;
/// Version of the capability (CXL 3.1 table 8-22).
pub const CXL_LINK_CAPABILITY_VERSION: u8 = 2;

register_block! {
    /// The CXL Link capability.
    pub CXL_LINK: CxlLinkReg = "cxl_link" {
        title: "CXL Link capability",
        section: "CXL 3.1 section 8.2.4.19",
        bytes: 0x38,
    }
    // Supports and received protocol version 3: CXL 3.x.
    0x00 link_layer_capability_low: u32 as () = 0x33, "CXL 3.1 section 8.2.4.19.1" {
        hwinit: [cxl_link_version_supported[3:0], llr_wrap_value_supported[15:8]],
        ro: [
            cxl_link_version_received[7:4], llr_wrap_value_received[23:16], num_retry_received[28:24],
            num_phy_reinit_received_low[31:29],
        ],
    }
    0x04 link_layer_capability_high: u32 as () = 0, "CXL 3.1 section 8.2.4.19.1" {
        ro: [
            num_phy_reinit_received_high[1:0], wr_ptr_received[9:2], echo_eseq_received[17:10],
            num_free_buf_received[25:18],
        ],
        hwinit: [no_ll_reset_support[26:26]],
    }
    // INIT_State 3: initialisation is done.
    0x08 link_layer_control_and_status_low: u32 as () = 0x18, "CXL 3.1 section 8.2.4.19.2" {
        rw: [ll_reset[0:0], ll_init_stall[1:1], ll_crd_stall[2:2]],
        ro: [init_state[4:3], ll_retry_buffer_consumed[12:5]],
    }
    0x0c link_layer_control_and_status_high: u32 as () = 0, "CXL 3.1 section 8.2.4.19.2" {}
    0x10 link_layer_rx_credit_control_low: u32 as () = 0, "CXL 3.1 section 8.2.4.19.3" {
        rws: [
            cache_req_credits[9:0], cache_rsp_credits[19:10], cache_data_credits[29:20],
            mem_req_rsp_credits_low[31:30],
        ],
    }
    0x14 link_layer_rx_credit_control_high: u32 as () = 0, "CXL 3.1 section 8.2.4.19.3" {
        rws: [mem_req_rsp_credits_high[7:0], mem_data_credits[17:8], bi_credits[27:18]],
    }
    0x18 link_layer_rx_credit_return_status_low: u32 as () = 0, "CXL 3.1 section 8.2.4.19.4" {
        ro: [
            cache_req_return[9:0], cache_rsp_return[19:10], cache_data_return[29:20], mem_req_rsp_return_low[31:30],
        ],
    }
    0x1c link_layer_rx_credit_return_status_high: u32 as () = 0, "CXL 3.1 section 8.2.4.19.4" {
        ro: [mem_req_rsp_return_high[7:0], mem_data_return[17:8], bi_return[27:18]],
    }
    0x20 link_layer_tx_credit_status_low: u32 as () = 0, "CXL 3.1 section 8.2.4.19.5" {
        ro: [
            cache_req_credits[9:0], cache_rsp_credits[19:10], cache_data_credits[29:20],
            mem_req_rsp_credits_low[31:30],
        ],
    }
    0x24 link_layer_tx_credit_status_high: u32 as () = 0, "CXL 3.1 section 8.2.4.19.5" {
        ro: [mem_req_rsp_credits_high[7:0], mem_data_credits[17:8], bi_credits[27:18]],
    }
    0x28 link_layer_ack_timer_control: u32 as () = 0x2010, "CXL 3.1 section 8.2.4.19.6" {
        rws: [ack_force_threshold[7:0], ack_or_crd_flush_retimer[17:8]],
    }
    0x2c reserved_0: u32 as () = 0, "CXL 3.1 section 8.2.4.19" {}
    0x30 link_layer_defeature: u32 as () = 0, "CXL 3.1 section 8.2.4.19.7" { rws: [mdh_disable[0:0]] }
    0x34 reserved_1: u32 as () = 0, "CXL 3.1 section 8.2.4.19.7" {}
}
